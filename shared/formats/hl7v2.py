"""HL7 v2 in ER7: recognising, decoding, splitting, and a lazy tree of segments, fields, repetitions, components, subcomponents.

Purpose-built: nothing is split before it is asked for. HL7 v2.8, chapter 2 (2.5 delimiters, 2.7 escapes, 2.10.3 batches).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from shared.canonical.reading import ProviderProfile
from shared.formats import LightLook
from shared.identity import PatientIdentifier, choose_identifier, document_id, patient_key

MLLP_BYTES = b"\x0b\x1c"
BLANK = b"\xef\xbb\xbf \t\r\n\x0b\x1c\x00\x1a"
HEADS = (b"MSH", b"FHS", b"BHS")
HEADLESS = re.compile(rb"(?:EVN|PID|PD1|PV1|ORC|OBR|OBX|TXA|NTE|AL1|DG1)\|")  # a message that lost its MSH
MESSAGE_START = re.compile(rb"(?:^|[\r\n\x0b\x1c])\xef?\xbb?\xbf?(?=[Mm][Ss][Hh][^\r\nA-Za-z0-9 ])")
ENVELOPE = re.compile(rb"(?<![\r\n])[\r\n]+(?=(?:FHS|BHS|BTS|FTS)[^\r\nA-Za-z0-9 ])", re.IGNORECASE)
SEGMENT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{2}")
LINES = re.compile(r"\r\n|\r|\n")
CHARSETS = {  # HL7 table 0211
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "UNICODE": "utf-8",
    "ASCII": "ascii",
    "UNICODE UTF-16": "utf-16",
    **{f"8859/{part}": f"iso8859-{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15)},
}
MAX_SEGMENTS = 100_000
REPORTS = frozenset({"ORU", "OUL", "ORL", "ORF"})  # messages in which an OBR is a report even without any OBX
MESSAGE_TYPE = re.compile(r"[A-Za-z]{3}([^A-Za-z0-9\s])[A-Za-z0-9]{3}")  # MSH-9 tells the component separator, whatever MSH-2 says


def is_hl7v2(content: bytes) -> bool:
    """Whether the bytes begin like HL7 v2: MSH, FHS or BHS after a byte order mark, framing bytes or white space."""
    start = content[:64].lstrip(BLANK)
    if HEADLESS.match(start):
        return True
    return start[:3].upper() in HEADS and (len(start) < 4 or not start[3:4].isalnum())


def split_messages(content: bytes) -> list[bytes]:
    """The messages in the bytes, in order: batches, several MSH without a header, framing bytes. A malformed one is a part of its own."""
    starts = [match.end() for match in MESSAGE_START.finditer(content)]
    if not starts:
        stripped = content.strip(BLANK)
        return [stripped] if stripped else []
    parts: list[bytes] = []
    for start, end in zip(starts, [*starts[1:], len(content)], strict=True):
        part = ENVELOPE.split(content[start:end], maxsplit=1)[0].strip(MLLP_BYTES + b"\r\n \x00")
        parts.append(part)
    return parts


def decode(content: bytes) -> tuple[str, list[str]]:
    """The text, and codes of what was odd: UTF-8 when it is, else the charset that MSH-18 declares, else Windows-1252."""
    body = content.strip(BLANK)
    if body.isascii():
        return body.decode("ascii"), []
    try:
        return body.decode("utf-8"), []
    except UnicodeDecodeError:
        pass
    declared = _declared_charset(body)
    if declared and declared not in ("utf-8", "ascii"):
        try:
            return body.decode(declared), []
        except (UnicodeDecodeError, LookupError):
            pass
    try:
        return body.decode("cp1252"), ["charset_guessed"]
    except UnicodeDecodeError:
        return body.decode("latin-1"), ["charset_guessed"]


def _declared_charset(body: bytes) -> str | None:
    head = LINES.split(body[:2048].decode("latin-1"), maxsplit=1)[0]
    fields = head.split(head[3:4] or "|")
    return CHARSETS.get(re.split(r"[~^]", fields[17])[0].strip().upper()) if len(fields) > 17 else None


@dataclass(frozen=True, slots=True)
class Separators:
    """The message's own: field, component, repetition, escape (may be missing), subcomponent."""

    field: str
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"


class Segment:
    """One segment; fields count from 1 as in the standard (MSH-1 is the field separator itself)."""

    __slots__ = ("_fields", "name", "number", "separators")

    def __init__(self, name: str, raw: str, separators: Separators, number: int) -> None:
        self.name = name
        self.number = number  # among segments of that name, from 1
        self.separators = separators
        self._fields = raw.split(separators.field)
        if name == "MSH":
            self._fields.insert(1, separators.field)

    def raw(self, field: int) -> str:
        """A field as written; empty when it is not there."""
        return self._fields[field] if field < len(self._fields) else ""

    def repetitions(self, field: int) -> list["Field"]:
        """The repetitions of a field that say anything."""
        text = self.raw(field)
        if not text or text == '""':
            return []
        if self.name == "MSH" and field == 2:
            return [Field(text, self.separators)]
        return [Field(one, self.separators) for one in text.split(self.separators.repetition) if one and one != '""']

    def field(self, field: int) -> "Field":
        """The first repetition that says anything; an empty one when none does."""
        found = self.repetitions(field)
        return found[0] if found else Field("", self.separators)

    def text(self, field: int, component: int = 1, subcomponent: int = 1) -> str | None:
        """A decoded subcomponent of the first repetition; None when it is empty."""
        return self.field(field).text(component, subcomponent)

    def is_deleted(self, field: int) -> bool:
        """Whether the field says delete (`""`)."""
        return self.raw(field) == '""'

    @property
    def count(self) -> int:
        """How many fields are written."""
        return len(self._fields) - 1


class Field:
    """One repetition of a field."""

    __slots__ = ("_components", "raw", "separators")

    def __init__(self, raw: str, separators: Separators) -> None:
        self.raw = raw
        self.separators = separators
        self._components: list[str] | None = None

    @property
    def components(self) -> list[str]:
        """The components as written."""
        if self._components is None:
            self._components = self.raw.split(self.separators.component)
        return self._components

    def text(self, component: int = 1, subcomponent: int = 1) -> str | None:
        """A decoded subcomponent; None when it is empty or says delete."""
        parts = self.components
        if component > len(parts):
            return None
        text = parts[component - 1]
        if self.separators.subcomponent in text:
            inner = text.split(self.separators.subcomponent)
            text = inner[subcomponent - 1] if subcomponent <= len(inner) else ""
        elif subcomponent > 1:
            return None
        if not text or text == '""':
            return None
        return unescape(text, self.separators).strip() or None

    def whole(self) -> str | None:
        """The whole repetition as free text: component separators that a careless sender left in are kept."""
        return unescape(self.raw, self.separators) or None

    def __bool__(self) -> bool:
        return bool(self.raw)


class Message:
    """A message that could be parsed."""

    __slots__ = ("_names", "segments", "separators", "warnings")

    def __init__(self, segments: list[Segment], separators: Separators, warnings: list[str]) -> None:
        self.segments = segments
        self.separators = separators
        self.warnings = warnings
        self._names: dict[str, list[Segment]] | None = None

    def all(self, name: str) -> list[Segment]:
        """The segments of a name, in order."""
        if self._names is None:
            self._names = {}
            for one in self.segments:
                self._names.setdefault(one.name, []).append(one)
        return self._names.get(name, [])

    def first(self, name: str) -> Segment | None:
        """The first segment of a name."""
        found = self.all(name)
        return found[0] if found else None

    @property
    def header(self) -> Segment:
        """MSH; every parsed message has one."""
        return self.segments[0]

    @property
    def code(self) -> str:
        """MSH-9.1: ORU, MDM, ADT …"""
        return (self.header.text(9, 1) or "").upper()

    @property
    def event(self) -> str:
        """MSH-9.2, else EVN-1: R01, T02, A04 …"""
        written = self.header.text(9, 2)
        if written is None and (evn := self.first("EVN")) is not None:
            written = evn.text(1)
        return (written or "").upper()


def parse(content: bytes) -> "Message | str":
    """The message, or the path of what makes it unreadable (`MSH`, `MSH-2`, `MSH-9`)."""
    text, warnings = decode(content)
    text = text.replace("\0", "")  # PostgreSQL stores no NUL
    if text[:3].upper() != "MSH":
        return "MSH"
    separators = _separators(text, warnings)
    if separators is None:
        return "MSH-2"
    segments = list(_segments(text, separators, warnings))
    if len(segments) > MAX_SEGMENTS:
        return "segments"
    message = Message(segments, separators, warnings)
    if not message.code:
        return "MSH-9"
    return message


def _separators(text: str, warnings: list[str]) -> Separators | None:
    """From MSH-1 and MSH-2, with the ways in which senders spoil them."""
    field = text[3:4]
    if not field or field.isalnum() or field.isspace():
        return None
    written = LINES.split(text[4:64], maxsplit=1)[0].split(field, 1)
    if len(written) == 1 and len(written[0]) > 8:
        return None
    encoding = "".join(dict.fromkeys(written[0]))  # `^~\\&` doubled, `&&&&`
    typed = LINES.split(text[:2048], maxsplit=1)[0].split(field)
    meant = MESSAGE_TYPE.match(typed[8]) if len(typed) > 8 else None
    if meant is not None and encoding and encoding[0] != meant[1] and not encoding[0].isalnum():
        warnings.append("separators_contradicted")
        return Separators(field, meant[1])
    if encoding != written[0]:
        warnings.append("separators_repeated")
    if not encoding or any(one.isalnum() or one.isspace() for one in encoding):
        return None if written[0] else Separators(field)
    if len(encoding) == 1 or field in encoding:
        warnings.append("separators_incomplete")
        return Separators(field, encoding if encoding not in ("&", field) else "^")
    if len(encoding) == 3 and encoding[2] == "&":  # the backslash was lost on the way
        warnings.append("escape_character_missing")
        return Separators(field, encoding[0], encoding[1], "", "&")
    defaults = "^~\\&"
    chosen = encoding[:4] + defaults[len(encoding[:4]) :]
    return Separators(field, chosen[0], chosen[1], chosen[2], chosen[3])


def _segments(text: str, separators: Separators, warnings: list[str]) -> Iterator[Segment]:
    """The segments in order; a line that is none belongs to the text before it."""
    lines: list[tuple[str, list[str]]] = []
    for line in LINES.split(text):
        bare = line.strip("\x0b\x1c\x00 \t")
        if not bare:
            continue
        name = bare[:3]
        if SEGMENT_NAME.fullmatch(name) and (len(bare) == 3 or bare[3] == separators.field):
            if len(lines) > MAX_SEGMENTS:
                break
            lines.append((name.upper(), [bare]))
        elif lines:
            if "line_without_segment" not in warnings:
                warnings.append("line_without_segment")
            lines[-1][1].append(line)
    numbers: dict[str, int] = {}
    for name, written in lines:
        numbers[name] = numbers.get(name, 0) + 1
        yield Segment(name, "\n".join(written), separators, numbers[name])


FORMATTING = {"br": "\n", "sp": "\n", "ce": "\n", "in": "", "ti": "", "fi": "", "nf": "", "sk": " "}
FORMAT_COMMAND = re.compile(r"\.(br|sp|in|ti|fi|nf|ce|sk)\s*([+-]?\d{0,9})", re.IGNORECASE)


def unescape(text: str, separators: Separators) -> str:
    """Escape sequences of 2.7 decoded; unknown ones are left out, unfinished ones stay as written."""
    escape = separators.escape
    if not escape or escape not in text:
        return text
    pieces = text.split(escape)
    out = [pieces[0]]
    index = 1
    while index < len(pieces):
        if index == len(pieces) - 1:  # no closing character
            out.append(escape + pieces[index])
            break
        decoded = _sequence(pieces[index], separators)
        if decoded is None:  # a stray escape character in plain text
            out.append(escape + pieces[index])
            index += 1
            continue
        out.append(decoded)
        out.append(pieces[index + 1])
        index += 2
    return "".join(out)


def _sequence(code: str, separators: Separators) -> str | None:
    """What stands for a sequence; None when it is none."""
    named = {
        "F": separators.field,
        "S": separators.component,
        "T": separators.subcomponent,
        "R": separators.repetition,
        "E": separators.escape,
        "P": "#",
        "H": "",
        "N": "",
    }
    if code in named:
        return named[code]
    if command := FORMAT_COMMAND.fullmatch(code):
        name = command[1].lower()
        if name in ("sp", "sk") and command[2].lstrip("+-").isdigit():
            return FORMATTING[name] * min(int(command[2].lstrip("+-")), 10)
        return FORMATTING[name]
    if code[:1] == "X" and len(code) > 1 and re.fullmatch(r"[0-9A-Fa-f]+", code[1:]) and len(code) % 2 == 1:
        raw = bytes.fromhex(code[1:])
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
        return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    if code[:1] in ("C", "M", "Z") and len(code) <= 16 and " " not in code:  # character set switches and local ones
        return ""
    return None


def patient_identifiers(pid: Segment) -> list[PatientIdentifier]:
    """PID-3, else PID-2, else PID-4: value, assigning authority (universal id before namespace), type."""
    for number in (3, 2, 4):
        found = [one for one in (read_identifier(part) for part in pid.repetitions(number)) if one is not None]
        if found:
            return found
    return []


def read_identifier(field: Field) -> PatientIdentifier | None:
    """A CX: CX-1 value, CX-4 assigning authority (HD), CX-5 type."""
    value = field.text(1)
    if value is None:
        return None
    return PatientIdentifier(authority(field, 4), value, field.text(5))


def authority(field: Field, component: int) -> str | None:
    """An HD: a universal id that is an OID or another URI counts before the local namespace."""
    return field.text(component, 2) or field.text(component, 1)


def entity_key(field: Field) -> str | None:
    """An EI as `system|value`: EI-3 universal id, else EI-2 namespace; None without a value."""
    value = field.text(1)
    return None if value is None else f"{field.text(3) or field.text(2) or ''}|{value}"


def document_keys(message: Message) -> list[str]:
    """The canonical keys of the message's documents as far as a light look tells: TXA-12 or TXA-13, OBR-3 with OBR-4.1, else OBR-2."""
    txa = message.first("TXA")
    if txa is not None and (key := document_number(message, txa)) is not None:
        return [f"mdm|{key}"]
    obr = next(iter(message.all("OBR")), None) if message.code in REPORTS else _first_observed(message)
    if obr is not None and (key := report_key(obr)) is not None:
        return [key]
    return []


def _first_observed(message: Message) -> Segment | None:
    """The first OBR that an OBX follows: in orders the others are no reports."""
    obr: Segment | None = None
    for one in message.segments:
        if one.name == "OBR":
            obr = one
        elif one.name == "OBX" and obr is not None:
            return obr
    return None


def document_number(message: Message, txa: Segment) -> str | None:
    """TXA-12; a replacement (T09, T10) keeps the number of the document that it replaces (TXA-13)."""
    own, parent = entity_key(txa.field(12)), entity_key(txa.field(13))
    return parent if parent and message.event in ("T09", "T10") else own


def report_key(obr: Segment) -> str | None:
    """`oru|<filler>|<OBR-4.1>`, with the placer's number where there is no filler's."""
    number = entity_key(obr.field(3)) or entity_key(obr.field(2))
    return None if number is None else f"oru|{number}|{obr.text(4) or ''}"


def light_identity(content: bytes, provider: ProviderProfile) -> LightLook:
    """Whose message it is, which document, and the sender's number. Never raises; an unreadable message tells nothing."""
    message = parse(content)
    if isinstance(message, str):
        return LightLook()
    pids = message.all("PID")
    chosen = choose_identifier(patient_identifiers(pids[0]), provider.authorities) if len(pids) == 1 else None
    keys = document_keys(message)
    return LightLook(
        patient_key(provider.provider_id, chosen) if chosen else None,
        document_id(provider.provider_id, keys[0]) if keys else None,
        message.header.text(10),
        None,
    )
