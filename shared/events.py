"""The envelope: CloudEvents 1.0 in Kafka's binary mode, read forgivingly and written strictly (Kafka protocol binding, 3.2)."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from shared.identity import digest

Headers = Sequence[tuple[str, bytes | None]]

ABSENT = frozenset({"", "undefined", "null"})  # what careless senders write for "nothing"
PREFIX = "ce_"


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


ATTRIBUTES: tuple[str, ...] = tuple(f.name for f in fields(Event) if f.name not in ("data", "contenttype", "traceparent"))
_PLAIN = {"content-type": "contenttype", "traceparent": "traceparent"}


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
    """Known attributes by name. Null, non-UTF-8, foreign, repeated (the first counts) and `undefined` headers are harmless."""
    found: dict[str, str] = {}
    for raw_name, raw in headers:
        name = raw_name.lower()
        field = _PLAIN.get(name) or (name[len(PREFIX) :] if name.startswith(PREFIX) else None)
        if field == "datacontenttype":
            field = "contenttype"
        if (
            field is None
            or raw is None
            or field in found
            or (field not in ATTRIBUTES and field != "specversion" and field not in _PLAIN.values())
        ):
            continue
        try:
            text = raw.decode("utf-8").strip()
        except UnicodeDecodeError:
            continue
        if text.lower() in ABSENT or len(text) > 1024:
            continue
        found[field] = text
    return found


def read_event(headers: Iterable[tuple[str, bytes | None]], value: bytes | None, *, default_type: str, fallback_id: str) -> Event:
    """A binary-mode event from a record; a bare record gets the type and id given (the id from its coordinates)."""
    found = read_headers(headers)
    found.pop("specversion", None)
    found.setdefault("type", default_type)
    found.setdefault("id", fallback_id)
    return Event(data=value or b"", **found)  # type: ignore[arg-type]  # all attributes are optional text
