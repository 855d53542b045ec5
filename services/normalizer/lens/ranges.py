"""On which side of its range a result lies: as the source flags it, else by the range that the source gives."""

import re
from decimal import Decimal, InvalidOperation

from services.normalizer.lens.rules import INTERPRETATIONS
from shared.canonical.elements import Result, Value

WITHIN = "within"
MOST_DIGITS = 40  # before the point or behind it; nothing in a body takes more, and sums must not overflow
_NUMBER = r"-?\d+(?:\.\d+)?"
_BETWEEN = re.compile(rf"\s*({_NUMBER})\s*(?:-|–|to)\s*({_NUMBER})\s*(.*)", re.DOTALL)
_LIMIT = re.compile(rf"\s*(<=|>=|<|>|≤|≥)\s*({_NUMBER})\s*(.*)", re.DOTALL)


def side_of(result: Result) -> str | None:
    """within, above, below or abnormal, `critically_` in front where the source says so; None when it cannot be told."""
    flagged = INTERPRETATIONS.get(" ".join((result.interpretation or "").upper().split()))
    return flagged or _side_in(result.reference_range, result.value)


def decimal_of(value: Value) -> Decimal | None:
    """The number, exactly as written; None for limits such as `<15`, and for what is no number."""
    if value.kind != "quantity" or value.number is None or value.comparator:
        return None
    try:
        number = Decimal(value.number)
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number.adjusted()) <= MOST_DIGITS else None


def unit_of(value: Value) -> str | None:
    """The unit for comparison: its UCUM code, else as it was sent."""
    code = value.unit_code.code if value.unit_code else None
    return (code or value.unit or "").strip() or None


def _side_in(text: str | None, value: Value) -> str | None:
    """By a range that reads `3.5-5.1`, `<5` or `>=60`; a range with other words, or in another unit, tells nothing."""
    number = decimal_of(value)
    if not text or number is None:
        return None
    if between := _BETWEEN.fullmatch(text):
        low, high = Decimal(between[1]), Decimal(between[2])
        if low > high or not _is_same_unit(between[3], value):
            return None
        return "below" if number < low else "above" if number > high else WITHIN
    limit = _LIMIT.fullmatch(text)
    if limit is None or not _is_same_unit(limit[3], value):
        return None
    sign, bound = limit[1], Decimal(limit[2])
    if sign in ("<", "<=", "≤"):
        return WITHIN if number < bound or (number == bound and sign != "<") else "above"
    return WITHIN if number > bound or (number == bound and sign != ">") else "below"


def _is_same_unit(said: str, value: Value) -> bool:
    """Whether a range without a unit of its own, or with the result's."""
    unit = "".join(said.split()).casefold()
    known = {"".join(one.split()).casefold() for one in (value.unit, unit_of(value)) if one}
    return not unit or unit in known
