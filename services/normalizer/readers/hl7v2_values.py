"""HL7 v2 data types as canonical elements: codes, names, addresses, times, and the values of OBX-5."""

import re
from datetime import datetime
from typing import Any

from services.normalizer.mappings.tables import load_table
from shared.canonical.elements import Address, Coding, HumanName, OtherName, Value
from shared.formats.hl7v2 import Field

CODES: dict[str, dict[str, Any]] = load_table("hl7v2_codes")
TIME = re.compile(r"(\d{4})(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\d{2})?\d{0,5}(?:\.(\d{1,6})\d*)?([+-]\d{4})?$")
ISO_TIME = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6})\d*)?)?)?(Z|[+-]\d{2}:?\d{2})?$")
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?$")
COMPARED = re.compile(r"(<=|>=|<|>)\s*([+-]?(?:\d+\.?\d*|\.\d+))$")
COMPARATORS = frozenset({"<", ">", "<=", ">="})
NAME_USES = {"M": "maiden", "B": "maiden", "N": "nickname", "A": "alias", "S": "pseudonym", "D": "usual"}


def system_of(written: str | None) -> str | None:
    """A coding system as a URI where table 0396 knows it, as written where not."""
    return None if written is None else str(CODES["systems"].get(written.upper(), written))


def read_code(field: Field) -> Coding | None:
    """A CE or CWE: identifier, text, system, and the alternate in components 4 to 6 as a translation."""
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


def read_unit(field: Field) -> tuple[str | None, Coding | None]:
    """OBX-6: the unit as sent, and its UCUM code where the sender says that it is one."""
    code, display, system = field.text(1), field.text(2), system_of(field.text(3))
    if code is None and display is None:
        return None, None
    if system and "unitsofmeasure" in system:
        return code or display, Coding(system, code, display)
    alternate = system_of(field.text(6))
    if alternate and "unitsofmeasure" in alternate:
        return code or display, Coding(alternate, field.text(4), field.text(5))
    return code or display, None


def read_value(kind: str, field: Field, unit: str | None, unit_code: Coding | None) -> Value:
    """One repetition of OBX-5 by its data type (OBX-2); a number that is none stays text."""
    if kind in ("NM", "SI"):
        return _number(field.text(1) or field.whole(), unit, unit_code)
    if kind == "SN":
        return _structured(field, unit, unit_code)
    if kind in ("CE", "CWE", "CNE", "CF", "IS", "ID", "CX"):
        return _coded(kind, field)
    if kind in ("DT", "TS", "DTM"):
        text = field.text(1)
        return Value("datetime", text=read_time(text) or text) if text else Value()
    if kind == "TM":
        text = field.text(1)
        return Value("time", text=text) if text else Value()
    if kind == "XAD":
        address = read_address(field)
        parts = [*address.lines, address.city, address.state, address.postal_code, address.country] if address else []
        return Value("text", text=", ".join(one for one in parts if one)) if parts else Value()
    if kind in ("XPN", "XCN"):
        name = read_name(field) if kind == "XPN" else None
        text = name.text if name else read_person(field)
        return Value("text", text=text) if text else Value()
    text = (field.whole() or "").strip("\n")
    return Value("text", text=text, unit=unit, unit_code=unit_code) if text.strip() else Value()


def _listed(text: str | None) -> list[str]:
    return [text] if text else []


def _number(text: str | None, unit: str | None, unit_code: Coding | None) -> Value:
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


def _coded(kind: str, field: Field) -> Value:
    if kind in ("IS", "ID", "CX"):
        text = field.text(1)
        return Value("coded", code=Coding(None, text, None)) if text else Value()
    code = read_code(field)
    if code is None:
        text = field.text(9)  # CWE-9: original text
        return Value("text", text=text) if text else Value()
    return Value("coded", text=field.text(9) if kind == "CWE" else None, code=code)
