"""HL7 v2 in ER7: a lazy tree of segments, fields, repetitions, components, subcomponents, and the light look at a message.

Purpose-built: nothing is split before it is asked for. HL7 v2.8, chapter 2 (2.5 delimiters, 2.6 field repetition and nulls).
"""

from functools import lru_cache

from shared.canonical.reading import ProviderProfile
from shared.formats import LightLook
from shared.formats.hl7v2_escapes import unescape
from shared.formats.hl7v2_separators import Separators, read_separators
from shared.formats.hl7v2_text import decode
from shared.identity import PatientIdentifier, choose_identifier, document_id, patient_key

MAX_SEGMENTS = 100_000
REPORTS = frozenset({"ORU", "OUL", "ORL", "ORF"})  # messages in which an OBR is a report even without any OBX
DELETED = '""'


class Segment:
    """One segment; fields count from 1 as in the standard (MSH-1 is the field separator itself). `fields[0]` is its name."""

    __slots__ = ("fields", "name", "number", "separators")

    def __init__(self, name: str, raw: str, separators: Separators, number: int) -> None:
        self.name = name
        self.number = number  # among segments of that name, from 1
        self.separators = separators
        self.fields = raw.split(separators.field)
        if name == "MSH":
            self.fields.insert(1, separators.field)

    def raw(self, field: int) -> str:
        """A field as written; empty when it is not there."""
        return self.fields[field] if field < len(self.fields) else ""

    def repetitions(self, field: int) -> list["Field"]:
        """The repetitions of a field that say anything."""
        text = self.raw(field)
        if not text or text == DELETED:
            return []
        separators = self.separators
        if separators.repetition not in text or (self.name == "MSH" and field == 2):
            return [Field(text, separators)]
        return [Field(one, separators) for one in text.split(separators.repetition) if one and one != DELETED]

    def field(self, field: int) -> "Field":
        """The first repetition that says anything; an empty one when none does."""
        text = self.fields[field] if field < len(self.fields) else ""
        if not text or self.separators.repetition not in text:
            return Field("" if text == DELETED else text, self.separators)
        found = self.repetitions(field)
        return found[0] if found else Field("", self.separators)

    def text(self, field: int, component: int = 1, subcomponent: int = 1) -> str | None:
        """A decoded subcomponent of the first repetition; None when it is empty."""
        if field >= len(self.fields) or not self.fields[field]:
            return None
        return self.field(field).text(component, subcomponent)

    def is_deleted(self, field: int) -> bool:
        """Whether the field says delete (`""`)."""
        return self.raw(field) == DELETED

    @property
    def count(self) -> int:
        """How many fields are written."""
        return len(self.fields) - 1


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
        parts = self._components or self.components
        if component > len(parts):
            return None
        text = parts[component - 1]
        separators = self.separators
        if separators.subcomponent in text:
            inner = text.split(separators.subcomponent)
            text = inner[subcomponent - 1] if subcomponent <= len(inner) else ""
        elif subcomponent > 1:
            return None
        if not text or text == DELETED:
            return None
        if separators.escape and separators.escape in text:
            text = unescape(text, separators)
        return text.strip() or None

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
    """The message, or the path of what makes it unreadable (`MSH`, `MSH-2`, `MSH-9`, `segments`)."""
    text, warnings = decode(content)
    if "\0" in text:
        text = text.replace("\0", "")  # PostgreSQL stores no NUL
    if text[:3].upper() != "MSH":
        return "MSH"
    separators = read_separators(text, warnings)
    if separators is None:
        return "MSH-2"
    segments = _segments(text, separators, warnings)
    if len(segments) > MAX_SEGMENTS:
        return "segments"
    message = Message(segments, separators, warnings)
    if not message.code:
        return "MSH-9"
    return message


def _segments(text: str, separators: Separators, warnings: list[str]) -> list[Segment]:
    """The segments in order; a line that is none belongs to the text before it. One more than allowed when there are too many."""
    if "\n" in text:
        text = text.replace("\r\n", "\r").replace("\n", "\r")
    found: list[Segment] = []
    numbers: dict[str, int] = {}
    stray: list[str] = []
    for line in text.split("\r"):
        name = _segment_name(line[:3]) if line[3:4] in (separators.field, "") else ""
        if not name:
            bare = line.strip("\x0b\x1c \t")
            if not bare:
                continue
            name = _segment_name(bare[:3]) if bare[3:4] in (separators.field, "") else ""
            if name:
                line = bare
            elif found:
                stray.append(line)
                continue
            else:
                continue
        if stray:
            _continue(found[-1], stray, warnings)
            stray = []
        if len(found) > MAX_SEGMENTS:
            break
        numbers[name] = number = numbers.get(name, 0) + 1
        found.append(Segment(name, line.rstrip("\x0b\x1c \t"), separators, number))
    if stray:
        _continue(found[-1], stray, warnings)
    return found


def _continue(segment: Segment, lines: list[str], warnings: list[str]) -> None:
    """Put lines that are no segments behind the last field of the segment before them."""
    if "line_without_segment" not in warnings:
        warnings.append("line_without_segment")
    first, *others = "\n".join(["", *lines]).split(segment.separators.field)
    segment.fields[-1] += first
    segment.fields += others


@lru_cache(maxsize=512)
def _segment_name(text: str) -> str:
    """A segment's name in capitals; empty when it cannot be one."""
    return text.upper() if len(text) == 3 and text.isascii() and text.isalnum() and text[0].isalpha() else ""


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
