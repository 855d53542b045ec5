"""Results as lines that people read, whatever format they came in."""

from shared.canonical.elements import Coding, Result, Value

TOLD = frozenset({"preliminary", "corrected", "cancelled"})  # statuses that a reader must see


def result_line(result: Result) -> str:
    """A result as one readable line: name, value, unit, range, flag, status when it is not final."""
    code = result.code
    line = f"{(code.display or code.code if code else None) or 'Result'}: {value_text(result.value)}"
    if result.reference_range:
        line += f" (reference {result.reference_range})"
    if result.interpretation and result.interpretation != "N":
        line += f" {result.interpretation}"
    return f"{line} [{result.status}]" if result.status in TOLD else line


def value_text(value: Value) -> str:
    """A value as people write it."""
    if value.kind == "quantity":
        shown = f"{value.comparator or ''}{value.number or ''}"
        return f"{shown} {value.unit}" if value.unit else shown
    if value.kind == "none":
        return "no value"
    if value.kind == "coded" and value.code:
        return value.text or value.code.display or _first_display(value.code) or value.code.code or ""
    return " ".join(one for one in (value.text, value.unit) if one)


def _first_display(code: Coding) -> str | None:
    return next((one.display or one.code for one in code.translations), None)
