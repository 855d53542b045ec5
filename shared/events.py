"""The envelope: CloudEvents 1.0, written in Kafka's binary mode (protocol binding, 3.2), read forgivingly in every mode in use."""

import base64
import binascii
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec

from shared.identity import digest
from shared.outcomes import Reason, Rejected

Headers = Sequence[tuple[str, bytes | None]]

ABSENT = frozenset({"", "undefined", "null"})  # what careless senders write for "nothing"
PREFIX = "ce_"
MAX_ATTRIBUTE = 1024  # characters; longer values are no ids
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


class EventType(StrEnum):
    """Values of `ce_type`."""

    DOCUMENT_PUBLISHED = "org.healthrecords.document.published.v1"  # a provider has a document
    DOCUMENT_RECEIVED = "org.healthrecords.document.received.v1"  # one message or document, recognised
    PATIENT_NORMALIZED = "org.healthrecords.patient.normalized.v1"  # a patient's snapshot, canonical
    DOCUMENT_NORMALIZED = "org.healthrecords.document.normalized.v1"  # one document, canonical
    OUTCOME_RECORDED = "org.healthrecords.outcome.recorded.v1"  # what became of an event at a stage
    DOCUMENT_QUARANTINED = "org.healthrecords.document.quarantined.v1"  # set aside with its reason
    SYNC_REQUESTED = "org.healthrecords.sync.requested.v1"  # somebody wants a resync


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event: CloudEvents attributes, our extensions and the data. Ids only in the attributes, never names or numbers of a patient."""

    type: str
    source: str = "urn:healthrecords"
    id: str = ""
    time: str | None = None  # RFC 3339
    subject: str | None = None  # patient key or document id
    contenttype: str | None = None  # media type of the data
    traceparent: str | None = None  # W3C trace context
    providerid: str | None = None  # the configured connection that it came through
    format: str | None = None  # hl7v2, fhir, ccda, pdf, image, rtf, text, json
    documentid: str | None = None  # by a light look; the normalizer decides
    sourceversion: str | None = None  # sortable version of the source
    sha256: str | None = None  # digest of the data
    syncaction: str | None = None  # upsert or withdraw
    replayid: str | None = None  # the replay that sent it again
    origin: str | None = None  # coordinates of the first receipt, kept by every replay
    contentref: str | None = None  # where large data lies (claim check)
    correlationid: str | None = None  # id of the published event
    destinationid: str | None = None  # the platform account that it is for
    clinicid: str | None = None  # the clinic that it is for
    data: bytes = b""

    @classmethod
    def after(cls, cause: "Event", *, type: str, part: str, data: bytes, **changes: Any) -> "Event":
        """An event that follows from another: carries ids onward and gets an id that a repetition gives again."""
        carried: dict[str, Any] = {
            name: getattr(cause, name)
            for name in ("traceparent", "providerid", "format", "replayid", "origin", "correlationid", "clinicid")
        }
        made = {
            "type": type,
            "source": "urn:healthrecords",
            "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{cause.id}|{type}|{part}")),
            "time": cause.time,
            "data": data,
            **carried,
            **changes,
        }
        return cls(**made)

    def with_data(self, data: bytes) -> "Event":
        """The same event with its data fetched from the content store."""
        return replace(self, data=data)

    def pointing_at(self, ref: str) -> "Event":
        """The same event with its data left in the content store (claim check); the value stays empty, null would be a tombstone."""
        return replace(self, data=b"", contentref=ref)


ATTRIBUTES: tuple[str, ...] = tuple(f.name for f in fields(Event) if f.name not in ("data", "contenttype", "traceparent"))
_PLAIN = {"content-type": "contenttype", "traceparent": "traceparent"}
_NAMES = frozenset({*ATTRIBUTES, "traceparent", "specversion"})


def new_event(type: str, data: bytes, **attributes: Any) -> Event:
    """An event that starts a story of its own: fresh id, present time, digest of the data."""
    given = {"id": str(uuid.uuid4()), "time": now_text(), "sha256": digest(data), **attributes}
    return Event(type=type, data=data, **given)


def now_text() -> str:
    """The present moment in RFC 3339, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write_headers(event: Event) -> list[tuple[str, bytes]]:
    """The Kafka headers of an event in binary mode; absent attributes are left out."""
    headers = [("ce_specversion", b"1.0")]
    for name in ATTRIBUTES:
        value = getattr(event, name)
        if value is not None and value != "":
            headers.append((PREFIX + name, value.encode()))
    for header, name in _PLAIN.items():
        value = getattr(event, name)
        if value:
            headers.append((header, value.encode()))
    return headers


def read_headers(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    """Known attributes by name. Null, non-UTF-8, foreign, repeated (the first counts), unprintable and `undefined` headers are harmless."""
    found: dict[str, str] = {}
    for raw_name, raw in headers:
        field = _field_of(raw_name.lower())
        if field is None or raw is None or field in found:
            continue
        try:
            text = _usable(raw.decode("utf-8"))
        except UnicodeDecodeError:
            continue
        if text is not None:
            found[field] = text
    return found


def _field_of(header: str) -> str | None:
    """The attribute that a header stands for; None for a foreign one."""
    if header in _PLAIN:
        return _PLAIN[header]
    name = header[len(PREFIX) :] if header.startswith(PREFIX) else ""
    if name == "datacontenttype":
        return "contenttype"
    return name if name in _NAMES else None


def _usable(text: str) -> str | None:
    """The value of an attribute; None for what stands for nothing, cannot be an id, or could not be stored or logged (NUL, line ends)."""
    value = text.strip()
    return None if value.lower() in ABSENT or len(value) > MAX_ATTRIBUTE or not value.isprintable() else value


def read_event(headers: Iterable[tuple[str, bytes | None]], value: bytes | None, *, default_type: str, fallback_id: str) -> Event:
    """A binary-mode event from a record; a bare record gets the type and id given (the id from its coordinates)."""
    found = read_headers(headers)
    found.pop("specversion", None)
    found.setdefault("type", default_type)
    found.setdefault("id", fallback_id)
    return Event(data=value or b"", **found)


def read_published(
    headers: Iterable[tuple[str, bytes | None]], value: bytes | None, *, default_type: str = EventType.DOCUMENT_PUBLISHED, fallback_id: str
) -> list[Event] | Rejected:
    """The events of a record as any sender writes it: binary mode, structured mode, a JSON batch, or bare bytes without headers.

    `content-type` decides, as the protocol binding says. Data in structured mode keeps its bytes as they stand in the envelope (numbers
    keep their digits); text is UTF-8 encoded, `data_base64` decoded. An envelope that cannot be read is refused with the place in it.
    """
    found = read_headers(headers)
    media_type = found.get("contenttype", "").partition(";")[0].strip().lower()
    if not media_type.startswith("application/cloudevents"):
        return [read_event(headers, value, default_type=default_type, fallback_id=fallback_id)]
    if media_type not in (STRUCTURED, BATCH):
        return Rejected(Reason.MALFORMED_ENVELOPE, "content-type")
    found.pop("contenttype")
    found.pop("specversion", None)
    try:
        if media_type == STRUCTURED:
            return [_structured(_OBJECT.decode(_text(value)), found, default_type, fallback_id)]
        envelopes = _OBJECTS.decode(_text(value))
        # headers of the record speak of the batch, not of its events: only the trace goes on
        shared = {name: found[name] for name in ("traceparent",) if name in found}
        return [_structured(one, shared, default_type, f"{fallback_id}/{number}") for number, one in enumerate(envelopes)]
    except _Unreadable as error:
        return Rejected(Reason.MALFORMED_ENVELOPE, error.where)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Rejected(Reason.MALFORMED_ENVELOPE, "$")


_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OBJECTS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_TEXT = msgspec.json.Decoder(str)


class _Unreadable(Exception):
    """The envelope cannot be read at `where`."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.where = where


def _text(value: bytes | None) -> bytes:
    """The bytes of an envelope without a byte order mark."""
    return (value or b"").removeprefix(b"\xef\xbb\xbf")


def _structured(envelope: Mapping[str, msgspec.Raw], headers: Mapping[str, str], default_type: str, fallback_id: str) -> Event:
    """One event in the JSON format (JSON event format 1.0.2, section 3); attributes of the envelope win over headers."""
    found: dict[str, str] = {}
    for name, raw in envelope.items():
        field = _field_of(PREFIX + name.lower())
        if field is None or field in found:
            continue
        text = bytes(raw)
        if text[:1] == b'"':
            text = _TEXT.decode(text).encode()
        usable = None if text[:1] in (b"{", b"[") else _usable(text.decode())
        if usable is not None:
            found[field] = usable
    found.pop("specversion", None)
    known = {"type": default_type, "id": fallback_id, **headers, **found}
    return Event(data=_structured_data(envelope), **known)


def _structured_data(envelope: Mapping[str, msgspec.Raw]) -> bytes:
    """The data of a structured event: base64, text, or JSON exactly as it stands there (3.1.1)."""
    # version 0.3 keeps base64 in `data` and says so beside it
    name = "data" if bytes(envelope.get("datacontentencoding", b"null")).lower() == b'"base64"' else "data_base64"
    encoded = bytes(envelope.get(name, b"null"))
    if encoded != b"null":
        if encoded[:1] != b'"':
            raise _Unreadable(name)
        try:
            return base64.b64decode("".join(_TEXT.decode(encoded).split()), validate=True)
        except (ValueError, binascii.Error):
            raise _Unreadable(name) from None
    plain = bytes(envelope.get("data", b"null"))
    if plain == b"null":
        return b""
    return _TEXT.decode(plain).encode() if plain[:1] == b'"' else plain
