"""Results as lines that people read, whatever format they came in."""

from shared.canonical.elements import Coding, Result, Value


def result_line(result: Result) -> str:
    """A result as one readable line: name, value, unit, range, flag, status when it is not final."""
    name = (result.code.display or result.code.code if result.code else None) or "Result"
    flags = f" {result.interpretation}" if result.interpretation and result.interpretation != "N" else ""
    limits = f" (reference {result.reference_range})" if result.reference_range else ""
    status = f" [{result.status}]" if result.status in ("preliminary", "corrected", "cancelled") else ""
    return f"{name}: {value_text(result.value)}{limits}{flags}{status}"


def value_text(value: Value) -> str:
    """A value as people write it."""
    if value.kind == "none":
        return "no value"
    if value.kind == "coded" and value.code:
        return value.text or value.code.display or _first_display(value.code) or value.code.code or ""
    shown = value.text if value.kind != "quantity" else f"{value.comparator or ''}{value.number or ''}"
    return " ".join(one for one in (shown, value.unit) if one)


def _first_display(code: Coding) -> str | None:
    return next((one.display or one.code for one in code.translations), None)
