"""Observed values and reference ranges of CDA entries, in the canonical form."""

import re

from services.normalizer.mappings.tables import load_table
from services.normalizer.readers.ccda_codes import plain_coding, read_coding, wording
from services.normalizer.readers.ccda_context import Context
from shared.canonical.elements import Coding, Value
from shared.formats.cda_tree import XSI_TYPE, Element, attribute, child, children

_NULL_FLAVORS: dict[str, str] = load_table("ccda_statuses")["null_flavors"]
UCUM = "http://unitsofmeasure.org"
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?")
# units that are UCUM for sure; others are kept as sent (https://ucum.org/ucum)
_UCUM_ATOM = (
    r"(?:[YZEPTGMkhdcmunpfaz]|da)?(?:g|L|l|m|s|mol|eq|osm|U|Pa|cal|J|Hz|V|W|kat|bar|m\[Hg\]|m\[H2O\]|\[IU\]|\[iU\]|Bq|Sv)"
    r"|%|10[*^]-?\d+|\[[A-Za-z_'/]+\]|Cel|min|h|d|wk|mo|a|deg"
)
_UCUM_PART = rf"(?:(?:{_UCUM_ATOM})(?:[+-]?\d)?(?:\{{[^{{}}\s]*\}})?|\{{[^{{}}\s]*\}}|1)"
_UCUM = re.compile(rf"/?{_UCUM_PART}(?:[./]{_UCUM_PART})*")


def read_value(element: Element, context: Context) -> Value:
    """An observation's value by its xsi:type; what has no form of its own is text, what is null is none and says why."""
    value = _read_value(element, context)
    if value.kind == "none":
        value.text = _NULL_FLAVORS.get(attribute(element, "nullFlavor") or "")
    return value


def _read_value(element: Element, context: Context) -> Value:
    kind = (element.get(XSI_TYPE) or _guess_type(element)).rpartition(":")[2].strip()
    match kind:
        case "PQ" | "INT" | "REAL" | "MO" | "SXCM_PQ" | "IVXB_PQ":
            return _quantity(attribute(element, "value"), element, context)
        case "IVL_PQ" | "IVL_INT" | "IVL_REAL":
            return _range(element, context)
        case "RTO" | "RTO_PQ_PQ" | "RTO_QTY_QTY":
            return _ratio(element, context)
        case "CD" | "CE" | "CV" | "CO" | "CS":
            coding, text = read_coding(element), wording(element, context)
            return Value("coded", code=coding, text=text) if coding else _text(text or context.text(element))
        case "TS" | "IVL_TS" | "SXCM_TS" | "IVXB_TS":
            time = context.time(element)
            return Value("datetime", text=time) if time else Value()
        case "BL":
            return _text(attribute(element, "value"))
        case "ED" if element.get("representation") == "B64":
            return Value("attachment", text=attribute(element, "mediaType"))
        case "ST" | "ED" | "SC" | "":
            return _text(context.text(element) or attribute(element, "value"))
    context.warn("value_not_mapped")
    return _text(context.text(element))


def _guess_type(element: Element) -> str:
    if element.get("code"):
        return "CD"
    if element.get("value"):
        return "PQ"
    if child(element, "numerator") is not None:
        return "RTO"
    return "IVL_PQ" if child(element, "low") is not None or child(element, "high") is not None else "ST"


def _text(text: str | None) -> Value:
    return Value("text", text=text) if text else Value()


def _quantity(number: str | None, element: Element, context: Context, comparator: str | None = None) -> Value:
    unit = attribute(element, "unit")
    if unit == "1":  # UCUM's unity: no unit
        unit = None
    if number is None:
        # a unit that is not UCUM makes the whole quantity a translation (PQR)
        other = next((one for one in children(element, "translation") if attribute(one, "value")), None)
        if other is not None:
            return _translated(other, context)
        return _text(wording(element, context) or context.text(element))
    if not _NUMBER.fullmatch(number):
        context.warn("number_not_understood")
        return Value("text", text=f"{number} {unit}" if unit else number)
    return Value("quantity", number=number, comparator=comparator, unit=unit, unit_code=_unit_code(unit, element))


def _translated(element: Element, context: Context) -> Value:
    number = attribute(element, "value") or ""
    unit = attribute(element, "unit") or wording(element, context) or attribute(element, "code")
    if not _NUMBER.fullmatch(number):
        context.warn("number_not_understood")
        return Value("text", text=f"{number} {unit}" if unit else number)
    return Value("quantity", number=number, unit=unit, unit_code=plain_coding(element))


def _unit_code(unit: str | None, element: Element) -> Coding | None:
    if unit is None:
        return None
    translated = [one for each in children(element, "translation") if (one := plain_coding(each))]
    if _UCUM.fullmatch(unit):
        return Coding(UCUM, unit, translations=translated)
    return translated[0] if translated else None


def _range(element: Element, context: Context) -> Value:
    low, high, center = child(element, "low"), child(element, "high"), child(element, "center")
    least, most = attribute(low, "value"), attribute(high, "value")
    if least and most:
        unit = attribute(low, "unit") or attribute(high, "unit")
        shown = unit if unit != "1" else None
        return Value("range", text=f"{least}-{most}", unit=shown, unit_code=_unit_code(shown, element))
    if least and low is not None:
        return _quantity(least, low, context, ">" if low.get("inclusive") == "false" else ">=")
    if most and high is not None:
        return _quantity(most, high, context, "<" if high.get("inclusive") == "false" else "<=")
    if center is not None and attribute(center, "value"):
        return _quantity(attribute(center, "value"), center, context)
    return _quantity(attribute(element, "value"), element, context)


def _ratio(element: Element, context: Context) -> Value:
    parts = [attribute(child(element, one), "value") for one in ("numerator", "denominator")]
    units = [attribute(child(element, one), "unit") for one in ("numerator", "denominator")]
    if None in parts:
        return _text(context.text(element))
    shown = (f"{number} {unit}" if unit and unit != "1" else f"{number}" for number, unit in zip(parts, units, strict=True))
    return Value("ratio", text=":".join(shown))


def say(value: Value) -> str | None:
    """A value in words; None when there is none."""
    if value.kind == "none":
        return None
    if value.kind == "quantity":
        return f"{value.comparator or ''}{value.number}{f' {value.unit}' if value.unit else ''}"
    if value.kind == "coded":
        return value.text or (value.code.display or value.code.code if value.code else None)
    return f"{value.text} {value.unit}" if value.unit else value.text


def read_reference_range(observation: Element, unit: str | None, context: Context) -> str | None:
    """All ranges of an observation in words; the unit is left out where it is the value's own."""
    found = []
    for each in children(observation, "referenceRange"):
        inner = child(each, "observationRange")
        if inner is None:
            continue
        text = context.text(child(inner, "text"))
        value = child(inner, "value")
        if text is None and value is not None:
            text = _range_text(value, unit, context)
        if text and text not in found:
            found.append(text)
    return "; ".join(found) or None


def _range_text(element: Element, unit: str | None, context: Context) -> str | None:
    value = read_value(element, context)
    if value.unit == unit:
        value.unit = None
    return say(value)


def read_interpretation(observation: Element) -> str | None:
    """The interpretation codes (H, L, A …), or what stands in their place."""
    found = []
    for one in children(observation, "interpretationCode"):
        if coding := read_coding(one):
            found.append(coding.code)
        else:
            found.append(attribute(one, "displayName"))
    return ",".join(dict.fromkeys(one for one in found if one)) or None
