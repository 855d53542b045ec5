"""FHIR data types as canonical elements: quantities, values, ranges, narrative; and what reading a tree needs throughout."""

import re

from lxml import etree

from services.normalizer.readers.ccda_narrative import render
from services.normalizer.readers.fhir_concepts import concept_text, read_code
from services.normalizer.readers.lines import value_text
from shared.canonical.elements import Coding, Value, ValueKind
from shared.canonical.reading import ProviderProfile, Reading, Warning
from shared.formats.fhir_identity import begin_of
from shared.formats.fhir_tree import Resource, Tree, moment, objects, text_of

UCUM = "http://unitsofmeasure.org"
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
ABSENT_REASONS = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
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
        self.used: set[int] = set()  # identities of resources that the document at hand holds already

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
    if made.kind == "none":
        absent = holder.get("dataAbsentReason") or _absent_in(holder, name)
        if absent is not None:
            return Value("none", text=concept_text(absent), code=read_code(absent))
    return made


def _absent_in(holder: Resource, name: str) -> Resource | None:
    """Why a value is missing, where an extension in its place says so (https://hl7.org/fhir/R4/extension-data-absent-reason.html)."""
    names = (name,) if name else tuple(one for one in holder if one.startswith("_value"))
    places = (one for name in names for one in objects(holder.get(name)))
    reasons = (text_of(one.get("valueCode")) for place in places for one in objects(place.get("extension")) if one.get("url") == ABSENT)
    return next(({"coding": [{"system": ABSENT_REASONS, "code": one}]} for one in reasons if one), None)


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


def read_range(value: Resource) -> str | None:
    """A Range as people read it."""
    pair = _read_pair("valueRange", value)
    return " ".join(one for one in (pair.text, pair.unit) if one) or None


def onset_of(resource: Resource, *names: str) -> str | None:
    """The first of these that says when something began: a time, the start of a Period, an age, words. An end is no beginning."""
    for name in names:
        value = resource.get(name)
        if isinstance(value, dict):
            value = value.get("start") or (value_text(read_quantity(value)) if "value" in value else read_range(value))
        if text := text_of(value):
            return text
    return None


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
    if name == "valueRange" and (first is None or second is None):
        shown = f">={first}" if second is None else f"<={second}"
    return Value("range" if name == "valueRange" else "ratio", number=first, text=shown, unit=units[0] or units[1])


def reference_range(holder: Resource) -> str | None:
    """The referenceRanges: text, else low and high; of several each says for whom it holds, since none holds for everybody."""
    ranges = objects(holder.get("referenceRange"))
    if len(ranges) < 2:
        return _range_text(ranges[0]) if ranges else None
    shown = []
    for one in ranges:
        if text := _range_text(one):
            whom = [concept_text(held) for name in ("type", "appliesTo") for held in objects(one.get(name))]
            age = read_range(one["age"]) if isinstance(one.get("age"), dict) else None
            named = ", ".join(part for part in (*whom, f"age {age}" if age else None) if part)
            shown.append(f"{text} ({named})" if named else text)
    return "; ".join(dict.fromkeys(shown)) or None


def _range_text(one: Resource) -> str | None:
    if text := text_of(one.get("text")):
        return text
    low, high = (text_of(limit.get("value")) if isinstance(limit := one.get(name), dict) else None for name in ("low", "high"))
    if low and high:
        return f"{low}-{high}"
    return f">={low}" if low else f"<={high}" if high else None


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
