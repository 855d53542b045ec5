"""OBX, NTE and SPM as results, attachments and readable lines."""

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, field

from services.normalizer.readers.hl7v2_codes import CODES, code_of, first_text, read_code, unit_of
from services.normalizer.readers.hl7v2_times import time_of
from services.normalizer.readers.hl7v2_values import KINDS, read_value
from services.normalizer.readers.lines import result_line
from services.normalizer.readers.texts import media_type_of, plain_text
from shared.canonical.elements import Attachment, Coding, Result, ResultStatus
from shared.canonical.reading import Warning
from shared.formats.hl7v2 import DELETED, Field, Segment
from shared.formats.hl7v2_escapes import unescape
from shared.identity import digest

STATUSES: dict[str, ResultStatus] = CODES["result_status"]
CONTINUED = frozenset({"TX", "FT"})
OBX_FIELDS = 15  # as many as are read, and OBX-0
NOTHING = [""] * OBX_FIELDS
NARRATIVE = frozenset({"TX", "FT", "ST", ""})
MEDIA_TYPES = {
    "PDF": "application/pdf",
    "HTML": "text/html",
    "HTM": "text/html",
    "JPEG": "image/jpeg",
    "JPG": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "TIFF": "image/tiff",
    "TIF": "image/tiff",
    "RTF": "application/rtf",
    "TEXT": "text/plain",
    "PLAIN": "text/plain",
    "TXT": "text/plain",
    "XML": "application/xml",
    "CDA": "application/xml",
    "X-HL7-CDA-LEVEL-ONE": "application/xml",
}
DEFAULT = "application/octet-stream"
TEXTS = frozenset({"TEXT", "TX", "FT"})  # ED-2, table 0191


@dataclass(slots=True)
class Body:
    """What the OBX and NTE segments of one group say."""

    results: list[Result] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    statuses: list[str] = field(default_factory=list)  # OBX-11 as written
    last_text: str | None = None  # OBX-3 of the text just read: what follows under the same code continues it


def read_body(
    segments: Iterable[Segment], *, group: str | None, around: str | None = None, is_narrative: bool, warnings: list[Warning]
) -> Body:
    """The body of a group in the order of its segments. In a narrative (MDM) text lines are text, no results.

    `around` is the time of the whole group (OBR-7): it holds for each OBX without a time of its own (HL7 v2.8, 7.4.2.14).
    """
    body = Body()
    for segment in segments:
        if segment.name == "OBX":
            _read_observation(segment, body, group, around, is_narrative, warnings)
        elif segment.name == "NTE":
            body.lines.extend(text for part in segment.repetitions(3) if (text := part.whole()))
        elif segment.name == "SPM" and (kind := read_code(segment.field(4))) and (kind.display or kind.code):
            body.lines.append(f"Specimen: {kind.display or kind.code}")
    return body


def _read_observation(obx: Segment, body: Body, group: str | None, around: str | None, is_narrative: bool, warnings: list[Warning]) -> None:
    fields, separators = obx.fields, obx.separators
    if len(fields) < OBX_FIELDS:
        fields = fields + NOTHING[len(fields) :]
    kind, status = fields[2], fields[11]
    if kind not in KINDS:  # composite, in small letters, or unknown
        kind = (first_text(kind, separators) or "").upper()
    if status not in STATUSES:
        status = (first_text(status, separators) or "").upper()
    body.statuses.append(status)
    if kind == "ED":
        for part in obx.repetitions(5):
            _read_encapsulated(part, obx, body, warnings)
        return
    if kind == "RP":
        for part in obx.repetitions(5):
            _read_pointer(part, obx, body, warnings)
        return
    written = fields[5]
    if is_narrative and kind in NARRATIVE:
        parts = obx.repetitions(5)
        body.lines.extend((part.whole() or "") for part in parts) if parts else body.lines.append("")
        return
    code = code_of(fields[3], separators) if fields[3] else None
    unit, unit_code = unit_of(fields[6], separators) if fields[6] else (None, None)
    is_several = separators.repetition in written or written == DELETED
    values = ([part.raw for part in obx.repetitions(5)] or [""]) if is_several else (written,)
    limits = first_text(fields[7], separators) if fields[7] else None
    flag = first_text(fields[8], separators) if fields[8] else None
    effective = (time_of(fields[14], separators) if fields[14] else None) or around
    for one in values:
        value = read_value(kind, one, separators, unit, unit_code)
        if kind == "NM" and value.kind == "text":
            warnings.append(Warning("number_not_understood", f"OBX[{obx.number}]-5"))
        result = Result(code, value, limits, flag, STATUSES.get(status, "unknown"), effective, group)
        body.results.append(result)
        if kind in CONTINUED:  # what follows under the same code continues it
            is_continued = bool(fields[3]) and body.last_text == fields[3]
            body.lines.append(value.text or "" if is_continued else result_line(result))
            body.last_text = fields[3]
        else:
            body.lines.append(result_line(result))
            body.last_text = None


def _read_pointer(part: Field, obx: Segment, body: Body, warnings: list[Warning]) -> None:
    """An RP: a file that lies elsewhere; it is named, not fetched."""
    if url := part.text(1):
        subtype = (part.text(4) or part.text(3) or "").upper()
        body.attachments.append(Attachment(MEDIA_TYPES.get(subtype, "application/octet-stream"), title=obx.text(3, 1), url=url))
        warnings.append(Warning("attachment_not_included", f"OBX[{obx.number}]-5"))


def _read_encapsulated(part: Field, obx: Segment, body: Body, warnings: list[Warning]) -> None:
    """An ED: source, type, subtype, encoding, data."""
    where = f"OBX[{obx.number}]"
    kind, subtype, encoding = ((part.text(number) or "").upper() for number in (2, 3, 4))
    written = part.components[4] if len(part.components) > 4 else ""
    title = obx.text(3, 1) and (read_code(obx.field(3)) or Coding()).display
    if not written.strip():
        warnings.append(Warning("attachment_empty", f"{where}-5"))
        return
    data = _decode(written, encoding, part, is_text=kind in TEXTS or MEDIA_TYPES.get(subtype) == "text/plain")
    if data is None:
        warnings.append(Warning("attachment_not_understood", f"{where}-5"))
        return
    media_type = _media_type(data, kind, subtype)
    sha256 = digest(data)
    body.files[sha256] = data
    body.attachments.append(Attachment(media_type, len(data), sha256, title))
    if text := plain_text(data, media_type):
        body.lines.append(text)


def _media_type(data: bytes, kind: str, subtype: str) -> str:
    """ED-2 and ED-3 as a media type, as far as the bytes bear it out; some write a whole media type in one of them."""
    whole = next((one.lower() for one in (kind, subtype) if "/" in one), None)
    declared = whole or MEDIA_TYPES.get(subtype) or MEDIA_TYPES.get(kind) or ("text/plain" if kind in TEXTS else DEFAULT)
    found = media_type_of(data, declared)
    return "application/xml" if found == DEFAULT and data.startswith(b"<?xml") else found


def _decode(written: str, encoding: str, part: Field, *, is_text: bool) -> bytes | None:
    """The bytes of ED-5; None when they are not in the encoding that ED-4 says. Text without an encoding is text."""
    if encoding in ("A", "") and is_text:
        return unescape(part.separators.component.join(part.components[4:]), part.separators).encode()
    if encoding in ("BASE64", "BASE-64", ""):
        compact = "".join(written.split()).replace("\\.br\\", "")
        try:
            return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
        except (binascii.Error, ValueError):
            return None
    if encoding == "HEX":
        try:
            return bytes.fromhex("".join(written.split()))
        except ValueError:
            return None
    return unescape(written, part.separators).encode()
