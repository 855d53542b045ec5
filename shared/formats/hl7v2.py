"""HL7 v2 in ER7: a lazy tree of segments, fields, repetitions, components, subcomponents.

Purpose-built: nothing is split before it is asked for. HL7 v2.8, chapter 2 (2.5 delimiters, 2.6 field repetition and nulls).
"""

from functools import lru_cache

from shared.formats.hl7v2_escapes import unescape
from shared.formats.hl7v2_separators import Separators, read_separators
from shared.formats.hl7v2_text import decode

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
