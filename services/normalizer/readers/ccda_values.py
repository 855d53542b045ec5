"""Coded values, observed values, ranges and times of CDA entries, in the canonical form."""

import re

from services.normalizer.mappings.tables import load_table
from services.normalizer.readers.ccda_narrative import References, render_inline
from shared.canonical.elements import Coding, Value
from shared.canonical.reading import Warning
from shared.formats.cda_times import read_time
from shared.formats.cda_tree import XSI_TYPE, Element, attribute, child, children
from shared.identity import normalize_system

_SYSTEMS = load_table("ccda_systems")
UCUM = "http://unitsofmeasure.org"
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?")
# units that are UCUM for sure; others are kept as sent (https://ucum.org/ucum)
_UCUM_ATOM = (
    r"(?:[YZEPTGMkhdcmunpfaz]|da)?(?:g|L|l|m|s|mol|eq|osm|U|Pa|cal|J|Hz|V|W|kat|bar|m\[Hg\]|m\[H2O\]|Bq|Sv)"
    r"|%|10[*^]-?\d+|\[[A-Za-z_'/]+\]|Cel|min|h|d|wk|mo|a|deg"
)
_UCUM_PART = rf"(?:(?:{_UCUM_ATOM})(?:[+-]?\d)?(?:\{{[^{{}}\s]*\}})?|\{{[^{{}}\s]*\}}|1)"
_UCUM = re.compile(rf"/?{_UCUM_PART}(?:[./]{_UCUM_PART})*")
_NULL_FLAVORS = frozenset(("UNK", "NI", "NA", "OTH", "NAV", "ASKU", "NASK", "MSK"))  # written as codes by some
MAX_WARNINGS = 100


class Context:
    """What reading an entry needs: references, the section, the provider's zone; collects warnings."""

    def __init__(self, references: References, time_zone: str, warnings: list[Warning]) -> None:
        self.references = references
        self.time_zone = time_zone
        self.warnings = warnings
        self.section: Element | None = None
        self.where = ""

    def warn(self, code: str, *, once: bool = False) -> None:
        """Remember something odd at the present place, or (`once`) the first time in the document only."""
        known = any(one.code == code and (once or one.where == self.where) for one in self.warnings)
        if not known and len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(Warning(code, self.where or None))

    def text(self, element: Element | None) -> str | None:
        """The text of an ED element: what it refers to in the narrative, else what it holds. Base64 is no text."""
        if element is None:
            return None
        reference = child(element, "reference")
        if reference is not None and self.section is not None:
            found = self.references.text(attribute(reference, "value"), self.section)
            if found:
                return found
        return None if element.get("representation") == "B64" else render_inline(element)

    def time(self, element: Element | None) -> str | None:
        """A TS, or the beginning of an IVL_TS, with the precision it came with."""
        if element is None:
            return None
        for one in (element, child(element, "low"), child(element, "center")):
            written = attribute(one, "value")
            if written is None:
                continue
            time = read_time(written, self.time_zone)
            if time is None:
                self.warn("date_not_understood")
                return None
            if time.time_without_zone:
                self.warn("time_without_zone", once=True)
            return time.text
        return None


def read_coding(element: Element | None) -> Coding | None:
    """CD with its translations; a code that is null gives way to its first translation. None when nothing is coded."""
    if element is None:
        return None
    found = [one for each in (element, *children(element, "translation")) if (one := _plain_coding(each))]
    if not found:
        return None
    main = found[0]
    main.translations = found[1:]
    return main


def _plain_coding(element: Element) -> Coding | None:
    code = attribute(element, "code")
    if code is None or code in _NULL_FLAVORS:
        return None
    oid = attribute(element, "codeSystem")
    system: str | None
    if oid:
        system = _SYSTEMS["by_oid"].get(oid) or normalize_system(oid)
    else:
        system = _SYSTEMS["by_name"].get(attribute(element, "codeSystemName") or "")
    return Coding(system, code, attribute(element, "displayName"))


def wording(element: Element | None, context: Context) -> str | None:
    """What a coded element says in words: the original text, else its display, else a translation's."""
    if element is None:
        return None
    original = context.text(child(element, "originalText"))
    displays = (attribute(one, "displayName") for one in (element, *children(element, "translation")))
    return original or next((one for one in displays if one), None)


def read_value(element: Element, context: Context) -> Value:
    """An observation's value by its xsi:type; what has no form of its own is text, what is null is none."""
    kind = (element.get(XSI_TYPE) or _guess_type(element)).rpartition(":")[2].strip()
    match kind:
        case "PQ" | "INT" | "REAL" | "MO":
            return _quantity(attribute(element, "value"), element, context)
        case "IVL_PQ" | "IVL_INT" | "IVL_REAL":
            return _range(element, context)
        case "RTO" | "RTO_PQ_PQ" | "RTO_QTY_QTY":
            return _ratio(element)
        case "CD" | "CE" | "CV" | "CO" | "CS":
            coding, text = read_coding(element), wording(element, context)
            return Value("coded", code=coding, text=text) if coding else _text(text)
        case "TS" | "IVL_TS":
            time = context.time(element)
            return Value("datetime", text=time) if time else Value()
        case "BL":
            return _text(attribute(element, "value"))
        case "ED" if element.get("representation") == "B64":
            return Value("attachment", text=attribute(element, "mediaType"))
        case "ST" | "ED" | "SC" | "":
            return _text(context.text(element))
    context.warn("value_not_mapped")
    return _text(context.text(element))


def _guess_type(element: Element) -> str:
    if element.get("code"):
        return "CD"
    if element.get("value"):
        return "PQ"
    return "IVL_PQ" if child(element, "low") is not None or child(element, "high") is not None else "ST"


def _text(text: str | None) -> Value:
    return Value("text", text=text) if text else Value()


def _quantity(number: str | None, element: Element, context: Context, comparator: str | None = None) -> Value:
    unit = attribute(element, "unit")
    if unit == "1":  # UCUM's unity: no unit
        unit = None
    if number is None:
        return _text(wording(element, context) or context.text(element))
    if not _NUMBER.fullmatch(number):
        context.warn("number_not_understood")
        return Value("text", text=f"{number} {unit}" if unit else number)
    return Value("quantity", number=number, comparator=comparator, unit=unit, unit_code=_unit_code(unit, element))


def _unit_code(unit: str | None, element: Element) -> Coding | None:
    if unit is None:
        return None
    translated = [one for each in children(element, "translation") if (one := _plain_coding(each))]
    if _UCUM.fullmatch(unit):
        return Coding(UCUM, unit, translations=translated)
    return translated[0] if translated else None


def _range(element: Element, context: Context) -> Value:
    low, high = child(element, "low"), child(element, "high")
    least, most = attribute(low, "value"), attribute(high, "value")
    if least and most:
        unit = attribute(low, "unit") or attribute(high, "unit")
        shown = unit if unit != "1" else None
        return Value("range", text=f"{least}-{most}", unit=shown, unit_code=_unit_code(shown, element))
    if least and low is not None:
        return _quantity(least, low, context, ">" if low.get("inclusive") == "false" else ">=")
    if most and high is not None:
        return _quantity(most, high, context, "<" if high.get("inclusive") == "false" else "<=")
    return _quantity(attribute(element, "value"), element, context)


def _ratio(element: Element) -> Value:
    parts = [attribute(child(element, one), "value") for one in ("numerator", "denominator")]
    units = [attribute(child(element, one), "unit") for one in ("numerator", "denominator")]
    if None in parts:
        return Value()
    shown = (f"{number} {unit}" if unit and unit != "1" else f"{number}" for number, unit in zip(parts, units, strict=True))
    return Value("ratio", text=":".join(shown))


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
    if value.kind == "coded":
        return value.text or (value.code.display or value.code.code if value.code else None)
    shown = f"{value.comparator or ''}{value.number}" if value.kind == "quantity" else value.text
    return f"{shown} {value.unit}" if shown and value.unit and value.unit != unit else shown


def read_interpretation(observation: Element) -> str | None:
    """The interpretation codes (H, L, A …)."""
    codes = (attribute(one, "code") for one in children(observation, "interpretationCode"))
    return ",".join(one for one in codes if one) or None
