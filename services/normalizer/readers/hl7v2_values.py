"""The values of OBX-5 by their data type (OBX-2, table 0125) as canonical values."""

import re
from collections.abc import Callable

from services.normalizer.readers.hl7v2_codes import read_code
from services.normalizer.readers.hl7v2_people import read_address, read_name, read_person
from services.normalizer.readers.hl7v2_times import read_time
from shared.canonical.elements import Coding, Value
from shared.formats.hl7v2 import Field
from shared.formats.hl7v2_separators import Separators

NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?$")
COMPARED = re.compile(r"(<=|>=|<|>)\s*([+-]?(?:\d+\.?\d*|\.\d+))$")
CLOCK = re.compile(r"(\d{2})(\d{2})(\d{2})?$")
NUMBERS = frozenset({"NM", "SI"})
PLAIN = frozenset({"ST", "TX", "FT", ""})
COMPARATORS = frozenset({"<", ">", "<=", ">="})


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
