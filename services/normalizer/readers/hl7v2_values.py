"""HL7 v2 data types as canonical elements: codes, names, addresses, times, and the values of OBX-5."""

import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any

from services.normalizer.mappings.tables import load_table
from shared.canonical.elements import Address, Coding, HumanName, OtherName, Value
from shared.formats.hl7v2 import DELETED, Field
from shared.formats.hl7v2_separators import Separators

CODES: dict[str, dict[str, Any]] = load_table("hl7v2_codes")
TIME = re.compile(r"(\d{4})(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\d{2})?\d{0,5}(?:\.(\d{1,6})\d*)?([+-]\d{4})?$")
ISO_TIME = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6})\d*)?)?)?(Z|[+-]\d{2}:?\d{2})?$")
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?$")
COMPARED = re.compile(r"(<=|>=|<|>)\s*([+-]?(?:\d+\.?\d*|\.\d+))$")
CLOCK = re.compile(r"(\d{2})(\d{2})(\d{2})?$")
NUMBERS = frozenset({"NM", "SI"})
PLAIN = frozenset({"ST", "TX", "FT", ""})
COMPARATORS = frozenset({"<", ">", "<=", ">="})
NAME_USES = {"M": "maiden", "B": "maiden", "N": "nickname", "A": "alias", "S": "pseudonym", "D": "usual"}


def system_of(written: str | None) -> str | None:
    """A coding system as a URI where table 0396 knows it, as written where not."""
    return None if written is None else str(CODES["systems"].get(written.upper(), written))


def read_code(field: Field) -> Coding | None:
    """A CE or CWE: identifier, text, system, and the alternate in components 4 to 6 as a translation. Nobody may change what it gives."""
    return code_of(field.raw, field.separators) if field.raw else None


@lru_cache(maxsize=8192)
def code_of(raw: str, separators: Separators) -> Coding | None:
    """The first repetition of a field as `read_code` reads it. The same codes come again and again: each is read once."""
    field = _first(raw, separators)
    code, display, system = field.text(1), field.text(2), field.text(3)
    other = Coding(system_of(field.text(6)), field.text(4), field.text(5))
    alternates = [other] if other.code or other.display else []
    if code is None and display is None:
        return alternates[0] if alternates else None
    return Coding(system_of(system), code, display, alternates)


def read_name(field: Field) -> HumanName | None:
    """An XPN; placeholders and empty repetitions give none."""
    family, given = field.text(1), [one for one in (field.text(2), field.text(3)) if one]
    if family is None and not given:
        return None
    name = HumanName(family, given, _listed(field.text(5)), [*_listed(field.text(4)), *_listed(field.text(6))])
    name.text = " ".join([*name.prefix, *given, *_listed(family), *name.suffix])
    return name


def read_other_name(field: Field) -> OtherName | None:
    """An XPN that is not the name in use, with its use from XPN-7."""
    name = read_name(field)
    return None if name is None else OtherName(name.family, name.given, NAME_USES.get((field.text(7) or "").upper()))


def read_person(field: Field) -> str | None:
    """An XCN as people write it: prefix, given, family."""
    family, given, prefix = field.text(2), field.text(3), field.text(6)
    return " ".join(one for one in (prefix, given, family) if one) or field.text(1)


def read_address(field: Field) -> Address | None:
    """An XAD."""
    lines = [one for one in (field.text(1), field.text(2)) if one]
    made = Address(lines, field.text(3), field.text(4), field.text(5), field.text(6))
    if not (lines or made.city or made.state or made.postal_code or made.country):
        return None
    made.use = {"H": "home", "B": "work", "O": "work", "M": "mailing", "C": "temporary", "P": "home"}.get((field.text(7) or "").upper())
    return made


@lru_cache(maxsize=1024)
def read_time(written: str | None) -> str | None:
    """A DTM, TS or DT in ISO 8601, in the precision and the zone that it came with; None when it is no time."""
    if written is None:
        return None
    text = written.strip()
    match = TIME.match(text) or ISO_TIME.match(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        datetime(int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), min(int(second or 0), 59))  # noqa: DTZ001
    except ValueError:
        return None
    date = "-".join(one for one in (year, month, day) if one)
    if hour is None:
        return date
    clock = ":".join([hour, minute or "00", *([second] if second else [])])
    return f"{date}T{clock}{'.' + fraction if fraction else ''}{_zone(zone)}"


def _zone(written: str | None) -> str:
    if written is None or written == "-0000":
        return ""
    if written == "Z" or ":" in written:
        return written
    return f"{written[:3]}:{written[3:]}"


@lru_cache(maxsize=2048)
def unit_of(raw: str, separators: Separators) -> tuple[str | None, Coding | None]:
    """OBX-6: the unit as sent, and its UCUM code where the sender says that it is one."""
    field = _first(raw, separators)
    code, display, system = field.text(1), field.text(2), system_of(field.text(3))
    if code is None and display is None:
        return None, None
    if system and "unitsofmeasure" in system:
        return code or display, Coding(system, code, display)
    alternate = system_of(field.text(6))
    if alternate and "unitsofmeasure" in alternate:
        return code or display, Coding(alternate, field.text(4), field.text(5))
    return code or display, None


@lru_cache(maxsize=4096)
def first_text(raw: str, separators: Separators) -> str | None:
    """The first component of a field's first repetition that says anything, decoded; None when it is empty."""
    return _first(raw, separators).text(1)


def _first(raw: str, separators: Separators) -> Field:
    """The first repetition that says anything."""
    return Field(next((one for one in raw.split(separators.repetition) if one and one != DELETED), ""), separators)


@lru_cache(maxsize=1024)
def time_of(raw: str, separators: Separators) -> str | None:
    """A field that holds a time, as ISO 8601; None when it is none."""
    return read_time(first_text(raw, separators))


def read_value(kind: str, raw: str, separators: Separators, unit: str | None, unit_code: Coding | None) -> Value:
    """One repetition of OBX-5 by its data type (OBX-2); a number that is none stays text."""
    if kind in NUMBERS and NUMBER.match(raw):
        return Value("quantity", raw, None, unit, unit_code)
    field = Field(raw, separators)
    if kind in PLAIN:
        shown = (field.whole() or "").strip("\n")
        return Value("text", text=shown, unit=unit, unit_code=unit_code) if shown.strip() else Value()
    if reader := VALUE_READERS.get(kind):
        return reader(field, unit, unit_code)
    # a type that we do not know: what its components say, side by side
    words = [text for number in range(1, len(field.components) + 1) if (text := field.text(number))]
    return Value("text", text=" ".join(words), unit=unit, unit_code=unit_code) if words else Value()


def _listed(text: str | None) -> list[str]:
    return [text] if text else []


def _number(field: Field, unit: str | None, unit_code: Coding | None) -> Value:
    text = field.text(1) or field.whole()
    if text is None:
        return Value()
    if NUMBER.match(text):
        return Value("quantity", number=text, unit=unit, unit_code=unit_code)
    if compared := COMPARED.match(text):
        return Value("quantity", number=compared[2], comparator=compared[1], unit=unit, unit_code=unit_code)
    return Value("text", text=text, unit=unit, unit_code=unit_code)


def _structured(field: Field, unit: str | None, unit_code: Coding | None) -> Value:
    """An SN: comparator, number, separator, number (`^9`, `>=^9`, `^1^-^3`, `^1^:^128`)."""
    comparator, first, separator, second = (field.text(number) for number in (1, 2, 3, 4))
    written = " ".join(one for one in (comparator, first, separator, second) if one)
    if first is not None and not NUMBER.match(first):
        return Value("text", text=written, unit=unit, unit_code=unit_code)
    if first is not None and second is not None and NUMBER.match(second):
        kind = "range" if separator == "-" else "ratio"
        return Value(kind, number=first, text=f"{first}{separator or ''}{second}", unit=unit, unit_code=unit_code)  # type: ignore[arg-type]
    if first is not None and separator is None:
        sign = comparator if comparator in COMPARATORS else None
        if comparator in (None, "=") or sign:
            return Value("quantity", number=first, comparator=sign, unit=unit, unit_code=unit_code)
    return Value("text", text=written, unit=unit, unit_code=unit_code) if written else Value()


def _coded(field: Field, unit: str | None, unit_code: Coding | None) -> Value:
    """A CE, CWE, CNE or CF; text that stands for a code stays beside it (CWE-9: original text)."""
    code, text = read_code(field), field.text(9)
    if code is None:
        return Value("text", text=text) if text else Value()
    return Value("coded", text=text, code=code)


def _plain_code(field: Field, unit: str | None, unit_code: Coding | None) -> Value:
    """An IS, ID or CX: a code without a system."""
    text = field.text(1)
    return Value("coded", code=Coding(None, text, None)) if text else Value()


def _moment(field: Field, unit: str | None, unit_code: Coding | None) -> Value:
    text = field.text(1)
    return Value("datetime", text=read_time(text) or text) if text else Value()


def _clock(field: Field, unit: str | None, unit_code: Coding | None) -> Value:
    """A TM: HHMM[SS] as ISO 8601 writes it; anything else as written."""
    text = field.text(1)
    if text is None:
        return Value()
    found = CLOCK.match(text)
    return Value("time", text=":".join(one for one in found.groups() if one) if found else text)


def _period(field: Field, unit: str | None, unit_code: Coding | None) -> Value:
    """A DR: from, until."""
    both = [read_time(text) or text for number in (1, 2) if (text := field.text(number))]
    return Value("text", text="/".join(both)) if both else Value()


def _limits(field: Field, unit: str | None, unit_code: Coding | None) -> Value:
    """An NR: low, high."""
    low, high = field.text(1), field.text(2)
    if low is None and high is None:
        return Value()
    return Value("range", number=low, text=f"{low or ''}-{high or ''}", unit=unit, unit_code=unit_code)


def _quantity(field: Field, unit: str | None, unit_code: Coding | None) -> Value:
    """A CQ: quantity, unit."""
    return _number(field, unit or field.text(2), unit_code)


def _address(field: Field, unit: str | None, unit_code: Coding | None) -> Value:
    address = read_address(field)
    parts = [*address.lines, address.city, address.state, address.postal_code, address.country] if address else []
    return Value("text", text=", ".join(one for one in parts if one)) if parts else Value()


def _name(field: Field, unit: str | None, unit_code: Coding | None) -> Value:
    name = read_name(field)
    return Value("text", text=name.text) if name else Value()


def _person(field: Field, unit: str | None, unit_code: Coding | None) -> Value:
    text = read_person(field)
    return Value("text", text=text) if text else Value()


VALUE_READERS: dict[str, Callable[[Field, str | None, Coding | None], Value]] = {  # by OBX-2, table 0125
    **dict.fromkeys(("NM", "SI"), _number),
    **dict.fromkeys(("CE", "CWE", "CNE", "CF"), _coded),
    **dict.fromkeys(("IS", "ID", "CX"), _plain_code),
    **dict.fromkeys(("DT", "TS", "DTM"), _moment),
    "SN": _structured,
    "TM": _clock,
    "DR": _period,
    "NR": _limits,
    "CQ": _quantity,
    "XAD": _address,
    "XPN": _name,
    "XCN": _person,
}
KINDS = frozenset({*VALUE_READERS, *PLAIN, "ED", "RP"})
