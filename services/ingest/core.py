"""From published bytes to single messages: recognise, split, identify. Pure; a light look only, the normalizer decides."""

import re
import uuid
from collections.abc import Callable
from typing import NamedTuple

from shared.canonical.reading import Format, ProviderProfile
from shared.formats import LightLook, cda, fhir, files, hl7v2_identity
from shared.formats.packages import RefusedPackage, is_packed
from shared.formats.recognise import recognise
from shared.formats.split import Piece, split, take_apart
from shared.identity import digest, document_id
from shared.identity import patient_key as key_of
from shared.outcomes import Reason, Rejected

BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
BLANK = b" \t\r\n\x0b\x0c\x00\x1a\x1c"  # what a file without a document may still hold: spaces, MLLP framing, an end of file

# what a publisher may say in attributes that travel on as headers
MEDIA_TYPE = re.compile(
    r"(?:application|audio|image|message|multipart|text|video|x-application)/[A-Za-z0-9][A-Za-z0-9.+-]{0,63}(?=\s*(?:;|$))"
)
CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([A-Za-z0-9_-]{2,30})", re.IGNORECASE)
TRACE = re.compile(r"[0-9a-f-]{1,100}")
TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)")


class Part(NamedTuple):
    """One message or document of a published record."""

    number: int  # counted from 0
    content: bytes
    format: Format
    patient_key: str | None
    document_id: str | None
    source_version: str | None
    control_id: str | None  # the sender's number of the message
    sha256: str
    warnings: tuple[str, ...] = ()  # codes


# a light look at each format; none of them raises, whatever the bytes
LOOKS: dict[Format, Callable[[bytes, ProviderProfile], LightLook]] = {
    "hl7v2": hl7v2_identity.light_identity,
    "fhir": fhir.light_identity,
    "ccda": cda.light_identity,
    "pdf": files.light_identity,
    "image": files.light_identity,
    "rtf": files.light_identity,
    "text": files.light_identity,
    "json": files.light_identity,
}


def take_in(
    content: bytes, *, provider: ProviderProfile, media_type: str | None, patient_key: str | None, max_parts: int
) -> list[Part] | Rejected:
    """The messages in published bytes, or why there are none: refused bytes are kept whole.

    `patient_key` is whom the publisher named; it counts where the content itself names nobody.
    """
    if is_blank(content):
        return Rejected(Reason.EMPTY_CONTENT)
    try:
        pieces, left_out = take_apart(content, media_type)
    except RefusedPackage as refusal:
        return Rejected(refusal.reason, refusal.where)
    if len(pieces) == 1 and pieces[0].format not in LOOKS:
        return Rejected(Reason.UNKNOWN_FORMAT)
    if not pieces:
        return Rejected(Reason.MALFORMED_HL7, "MSH") if recognise(content, media_type) == "hl7v2" else Rejected(Reason.EMPTY_CONTENT)
    if len(pieces) > max_parts:
        return Rejected(Reason.TOO_MANY_PARTS, f"part[{max_parts}]")
    return [_identify(number, one, provider, patient_key, left_out) for number, one in enumerate(pieces)]


def _identify(number: int, piece: Piece, provider: ProviderProfile, named: str | None, left_out: int) -> Part:
    look = LOOKS.get(piece.format, files.light_identity)(piece.content, provider)
    packaged = key_of(provider.provider_id, piece.patient) if piece.patient else None
    return Part(
        number,
        piece.content,
        piece.format,
        look.patient_key or packaged or named,
        look.document_id,
        look.source_version,
        look.control_id,
        digest(piece.content),
        ("members_left_out",) if left_out and number == 0 else (),
    )


def is_blank(content: bytes) -> bool:
    """Whether the bytes hold nothing but a byte order mark and white space."""
    for mark in BYTE_ORDER_MARKS:
        content = content.removeprefix(mark)
    return not content.strip(BLANK)


def named_patient(subject: str | None) -> str | None:
    """The patient key that a publisher gave as `ce_subject`; anything but a UUID is none, so that no patient's number travels in keys."""
    try:
        key = str(uuid.UUID(subject or ""))
    except ValueError:
        return None
    return key if subject is not None and subject.lower() == key else None


def known_media_type(text: str | None) -> str | None:
    """The media type without parameters but its charset: senders put file names there, and patients' names into those."""
    found = MEDIA_TYPE.match(text or "")
    if found is None:
        return None
    charset = CHARSET.search(text or "")
    return f"{found[0]}; charset={charset[1]}" if charset else found[0]


def known_trace(text: str | None) -> str | None:
    """A `traceparent`, which is hexadecimal, else none."""
    return text if TRACE.fullmatch(text or "") else None


def known_time(text: str | None) -> str | None:
    """A time as RFC 3339 writes it, else none."""
    return text if TIME.fullmatch(text or "") else None


def record_key(part: Part, provider_id: str) -> str:
    """The key on `document.received.v1`: the patient, else the document, else the bytes."""
    return part.patient_key or part.document_id or document_id(provider_id, f"sha256:{part.sha256}")


def publishing_key(content: bytes, *, provider: ProviderProfile, media_type: str | None, patient_key: str | None) -> str | None:
    """The key under which our own doors publish a document, so that one patient's documents keep their order: None when nothing is said."""
    if patient_key is not None:
        return patient_key
    format = recognise(content, media_type)
    if format not in LOOKS or is_packed(content):  # a door does not unpack: that is ingest's
        return None
    pieces = split(content, format)
    if not pieces:
        return None
    look = LOOKS[format](pieces[0], provider)
    return look.patient_key or look.document_id
