"""FHIR data types as canonical elements: codes, quantities, values, periods, narrative."""

from typing import Any

from lxml import etree

from services.normalizer.mappings.tables import load_table
from services.normalizer.readers.ccda_narrative import render
from shared.canonical.elements import Coding, Value
from shared.formats.fhir import Resource, listed, text_of

CODES: dict[str, dict[str, Any]] = load_table("fhir_codes")
UCUM = "http://unitsofmeasure.org"


def read_coding(coding: Any) -> Coding | None:
    """A Coding."""
    if not isinstance(coding, dict):
        return None
    made = Coding(text_of(coding.get("system")), text_of(coding.get("code")), text_of(coding.get("display")))
    return made if made.code or made.display else None


def read_concept(concept: Any) -> Coding | None:
    """A CodeableConcept: the first coding, the others as translations; text alone becomes the display."""
    if isinstance(concept, str):
        return Coding(None, None, concept) if concept.strip() else None
    if not isinstance(concept, dict):
        return None
    if "concept" in concept:  # CodeableReference in R5
        return read_concept(concept["concept"])
    codings = [made for one in listed(concept.get("coding")) if (made := read_coding(one))]
    text = text_of(concept.get("text"))
    if not codings:
        return Coding(None, None, text) if text else None
    first, *others = codings
    first.display = first.display or text
    first.translations = others
    return first


def concept_text(concept: Any) -> str | None:
    """What a concept is called by its sender."""
    if isinstance(concept, dict) and (text := text_of(concept.get("text"))):
        return text
    code = read_concept(concept)
    return code.display or code.code if code else None


def has_code(concept: Any, codes: frozenset[str]) -> bool:
    """Whether one of a concept's codings is among these codes."""
    codings = listed(concept.get("coding")) if isinstance(concept, dict) else []
    return any(isinstance(one, dict) and text_of(one.get("code")) in codes for one in codings)


def status_code(resource: Resource, field: str) -> str | None:
    """The code of a status that is a concept (R4) or a code (STU3)."""
    value = resource.get(field)
    if isinstance(value, str):
        return value or None
    code = read_concept(value)
    return code.code if code else None


def read_quantity(quantity: Resource) -> Value:
    """A Quantity; digits as written."""
    number = text_of(quantity.get("value"))
    unit, code, system = text_of(quantity.get("unit")), text_of(quantity.get("code")), text_of(quantity.get("system"))
    if number is None:
        return Value("text", text=unit) if unit else Value()
    unit_code = Coding(system, code, unit) if code and system == UCUM else None
    return Value("quantity", number=number, comparator=text_of(quantity.get("comparator")), unit=unit or code, unit_code=unit_code)


def read_value(holder: Resource) -> Value:
    """`value[x]` of an Observation or a component; a reason for absence is no value."""
    name = next((one for one in holder if one.startswith("value") and len(one) > 5 and one[5].isupper()), None)
    if name is None:
        return Value()
    value = holder[name]
    if name == "valueQuantity" and isinstance(value, dict):
        return read_quantity(value)
    if name == "valueCodeableConcept":
        code = read_concept(value)
        text = text_of(value.get("text")) if isinstance(value, dict) else None
        return Value("coded", text=text, code=code) if code else Value()
    if name in ("valueRange", "valueRatio") and isinstance(value, dict):
        return _pair(name, value)
    if name == "valuePeriod" and isinstance(value, dict):
        text = "/".join(one for one in (text_of(value.get("start")), text_of(value.get("end"))) if one)
        return Value("text", text=text) if text else Value()
    if name == "valueDateTime":
        return Value("datetime", text=text_of(value)) if text_of(value) else Value()
    if name == "valueTime":
        return Value("time", text=text_of(value)) if text_of(value) else Value()
    if isinstance(value, bool):
        return Value("text", text="true" if value else "false")
    if name == "valueInteger" and (number := text_of(value)):
        return Value("quantity", number=number)
    if name == "valueAttachment":
        return Value("attachment")
    text = text_of(value)
    return Value("text", text=text) if text else Value()


def _pair(name: str, value: Resource) -> Value:
    """A Range (low, high) or a Ratio (numerator, denominator)."""
    names, sign = (("low", "high"), "-") if name == "valueRange" else (("numerator", "denominator"), "/")
    low: Resource = value[names[0]] if isinstance(value.get(names[0]), dict) else {}
    high: Resource = value[names[1]] if isinstance(value.get(names[1]), dict) else {}
    first, second = text_of(low.get("value")), text_of(high.get("value"))
    unit = text_of(low.get("unit")) or text_of(high.get("unit"))
    if first is None and second is None:
        return Value()
    return Value("range" if name == "valueRange" else "ratio", number=first, text=f"{first or ''}{sign}{second or ''}", unit=unit)


def reference_range(holder: Resource) -> str | None:
    """The first referenceRange: its text, else low and high."""
    for one in listed(holder.get("referenceRange")):
        if not isinstance(one, dict):
            continue
        if text := text_of(one.get("text")):
            return text
        low, high = (text_of(one[name].get("value")) if isinstance(one.get(name), dict) else None for name in ("low", "high"))
        if low and high:
            return f"{low}-{high}"
        if low or high:
            return f">={low}" if low else f"<={high}"
    return None


def begin_of(resource: Resource, *names: str) -> str | None:
    """The first of these dateTimes or Periods, as written."""
    for name in names:
        value = resource.get(name)
        if isinstance(value, dict):
            value = value.get("start") or value.get("end")
        if text := text_of(value):
            return text
    return None


def narrative(resource: Resource) -> str | None:
    """The text of a resource's narrative, without markup."""
    text = resource.get("text")
    div = text_of(text.get("div")) if isinstance(text, dict) else None
    return markup_text(div) if div else None


def markup_text(markup: str) -> str | None:
    """XHTML as plain text; scripts and styles are no text."""
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True, huge_tree=False)
    try:
        root = etree.fromstring(markup.encode("utf-8", "replace"), parser)
    except etree.LxmlError:
        return None
    return render(root) if root is not None else None
