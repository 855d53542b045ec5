"""FHIR data types as canonical elements: codes, quantities, values, periods, narrative; and what reading a tree needs throughout."""

import re
from typing import Any

from lxml import etree

from services.normalizer.mappings.tables import load_table
from services.normalizer.readers.ccda_narrative import render
from shared.canonical.elements import Coding, Value, ValueKind
from shared.canonical.reading import ProviderProfile, Reading, Warning
from shared.formats.fhir_identity import begin_of
from shared.formats.fhir_tree import Resource, Tree, listed, moment, objects, text_of

CODES: dict[str, dict[str, Any]] = load_table("fhir_codes")
UCUM = "http://unitsofmeasure.org"
MAX_WARNINGS = 100
_VALUE = re.compile(r"value[A-Z]")
_HAS_ZONE = re.compile(r"(?:Z|[+-]\d\d:?\d\d)$")


class Context:
    """What reading a tree needs: its resources, the provider, the patient; collects warnings."""

    def __init__(self, tree: Tree, provider: ProviderProfile, reading: Reading, patient_key: str | None) -> None:
        self.tree = tree
        self.provider = provider
        self.reading = reading
        self.patient_key = patient_key
        self.used: set[int] = set()  # identities of observations that the document at hand holds already

    def warn(self, code: str, where: str) -> None:
        """Remember something odd at a place."""
        warnings = self.reading.warnings
        if len(warnings) < MAX_WARNINGS and all(one.code != code or one.where != where for one in warnings):
            warnings.append(Warning(code, where))

    def date_of(self, resource: Resource, *names: str, within: Resource | None = None) -> str | None:
        """The first of these dateTimes or Periods of a resource, or of an element in it, as written; none when it is no date."""
        text = begin_of(resource if within is None else within, *names)
        if text is None:
            return None
        if moment(text, self.provider.time_zone) is None:
            self.warn("date_not_understood", self.tree.place(resource))
            return None
        if "T" in text and not _HAS_ZONE.search(text):
            self.warn("time_without_zone", self.tree.place(resource))
        return text


def read_coding(coding: Any) -> Coding | None:
    """A Coding."""
    if not isinstance(coding, dict):
        return None
    made = Coding(text_of(coding.get("system")), text_of(coding.get("code")), text_of(coding.get("display")))
    return made if made.code or made.display else None


def read_concept(concept: Any) -> Coding | None:
    """A CodeableConcept: the first coding, the others as translations; text alone becomes the display."""
    if isinstance(concept, str):
        return Coding(None, None, text) if (text := text_of(concept)) else None
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


def read_code(concept: Any) -> Coding | None:
    """A CodeableConcept as far as it is coded; beside it stands `concept_text`."""
    code = read_concept(concept)
    return code if code and code.code else None


def concept_text(concept: Any) -> str | None:
    """What a concept is called by its sender, else its code."""
    return concept_name(concept) or ((code := read_concept(concept)) and code.code) or None


def concept_name(concept: Any) -> str | None:
    """What a concept is called by its sender; a bare code is no name."""
    if isinstance(concept, dict) and (text := text_of(concept.get("text"))):
        return text
    code = read_concept(concept)
    return next((one.display for one in (code, *code.translations) if one.display), None) if code else None


def codes_of(concept: Any) -> set[str]:
    """The codes of a concept's codings."""
    if isinstance(concept, dict) and "concept" in concept:
        return codes_of(concept["concept"])
    codings = objects(concept.get("coding")) if isinstance(concept, dict) else []
    return {code for one in codings if (code := text_of(one.get("code")))}


def status_code(resource: Resource, field: str) -> str | None:
    """The code of a status that is a concept (R4) or a code (STU3)."""
    value = resource.get(field)
    if isinstance(value, str):
        return text_of(value)
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
    """`value[x]` of an Observation or a component; why there is none stands beside a value of kind "none"."""
    name = next((one for one in holder if _VALUE.match(one)), "")
    made = _read_value(name, holder.get(name))
    if made.kind == "none" and (absent := holder.get("dataAbsentReason")) is not None:
        return Value("none", text=concept_text(absent), code=read_code(absent))
    return made


def _read_value(name: str, value: object) -> Value:
    if isinstance(value, bool):
        return Value("text", text="true" if value else "false")
    if isinstance(value, dict):
        return _read_complex(name, value)
    text = text_of(value)
    if text is None:
        return Value()
    if name in ("valueInteger", "valueDecimal"):
        return Value("quantity", number=text)
    kind: ValueKind = "datetime" if name in ("valueDateTime", "valueInstant") else "time" if name == "valueTime" else "text"
    return Value(kind, text=text)


def _read_complex(name: str, value: Resource) -> Value:
    """A value of more than one element."""
    text: str | None
    match name:
        case "valueQuantity":
            return read_quantity(value)
        case "valueCodeableConcept":
            if code := read_code(value):
                return Value("coded", text=text_of(value.get("text")), code=code)
            text = concept_text(value)
        case "valueRange" | "valueRatio":
            return _read_pair(name, value)
        case "valuePeriod":
            text = "/".join(one for one in (text_of(value.get("start")), text_of(value.get("end"))) if one)
        case "valueAttachment":
            return Value("attachment", text=text_of(value.get("title")))
        case "valueSampledData":
            text = text_of(value.get("data"))
        case _:
            text = text_of(value.get("display"))
    return Value("text", text=text) if text else Value()


def _read_pair(name: str, value: Resource) -> Value:
    """A Range (low, high) or a Ratio (numerator, denominator)."""
    names, sign = (("low", "high"), "-") if name == "valueRange" else (("numerator", "denominator"), "/")
    low, high = (next(iter(objects(value.get(one))), {}) for one in names)
    first, second = text_of(low.get("value")), text_of(high.get("value"))
    if first is None and second is None:
        return Value()
    units = [text_of(one.get("unit")) or text_of(one.get("code")) for one in (low, high)]
    if name == "valueRatio" and units[1]:  # 5 mg/10 mL: each number has its own unit
        both = zip((low, high), (first, second), units, strict=True)
        pairs = [" ".join(filter(None, (f"{text_of(one.get('comparator')) or ''}{number or ''}", unit))) for one, number, unit in both]
        return Value("ratio", number=first, text="/".join(pairs))
    shown = f"{text_of(low.get('comparator')) or ''}{first or ''}{sign}{text_of(high.get('comparator')) or ''}{second or ''}"
    return Value("range" if name == "valueRange" else "ratio", number=first, text=shown, unit=units[0] or units[1])


def reference_range(holder: Resource) -> str | None:
    """The first referenceRange: its text, else low and high."""
    for one in objects(holder.get("referenceRange")):
        if text := text_of(one.get("text")):
            return text
        low, high = (text_of(limit.get("value")) if isinstance(limit := one.get(name), dict) else None for name in ("low", "high"))
        if low and high:
            return f"{low}-{high}"
        if low or high:
            return f">={low}" if low else f"<={high}"
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
    except (etree.LxmlError, ValueError):
        return None
    return render(root) if root is not None else None


def notes_of(resource: Resource) -> list[str]:
    """The texts of a resource's annotations."""
    return [text for one in objects(resource.get("note")) if (text := text_of(one.get("text")))]
