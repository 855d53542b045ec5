"""AllergyIntolerance: what the patient reacts to, and what it is said that they do not react to."""

from typing import Literal

from services.normalizer.mappings.tables import load_table
from services.normalizer.readers.denials import ANY, denied_allergy, denies, is_unknown_allergen
from services.normalizer.readers.fhir_concepts import codes_of, concept_text, read_code, status_code
from services.normalizer.readers.fhir_values import Context, onset_of
from shared.canonical.elements import DietaryPreference, HistoryEntry
from shared.canonical.reading import PatientReading
from shared.formats.fhir_tree import Resource, listed, objects, text_of

RETRACTED = ("entered-in-error", "refuted")
FOODS = frozenset(load_table("ccda_allergies")["foods"])
# a substance that is no risk: https://hl7.org/fhir/extensions/StructureDefinition-allergyintolerance-substanceExposureRisk.html
EXPOSURE = "http://hl7.org/fhir/StructureDefinition/allergyintolerance-substanceExposureRisk"
_NO_RISK = "no-known-reaction-risk"
_CRITICALITY = {"high": "high", "low": "low", "CRITH": "high", "CRITL": "low"}


def read_allergy(resource: Resource, reading: PatientReading, context: Context) -> None:
    """Add an allergy: a negation code, `refuted` and "no risk" deny; `entered-in-error` stays as a statement that there is none."""
    exposed, has_no_risk = _exposure(resource)
    concept = resource.get("code") or exposed or _first_substance(resource)
    code, text, codes = read_code(concept), concept_text(concept), codes_of(concept)
    if is_unknown_allergen(code, text):
        context.warn("no_information", context.tree.place(resource))
        return
    if code is None and not text:
        context.warn("allergy_without_substance", context.tree.place(resource))
        return
    none_of = denied_allergy([code] if code else [], text)
    verification = status_code(resource, "verificationStatus") or text_of(resource.get("status"))  # DSTU2 had one status for both
    negated = none_of is not None or denies(code) or has_no_risk or verification == "refuted"
    category = _category(resource, codes, none_of)
    status = verification if verification in RETRACTED else status_code(resource, "clinicalStatus") or text_of(resource.get("status"))
    criticality = _CRITICALITY.get(text_of(resource.get("criticality")) or "")
    onset = onset_of(resource, "onsetDateTime", "onsetPeriod", "onsetAge", "onsetRange", "onsetString", "onset")
    reading.medical_history.append(HistoryEntry("allergy", code, text, status, onset, negated, category, criticality))
    if category == "food" or (none_of == ANY and category is None):  # "no known allergies" of any kind says so of food too
        kind: Literal["allergy", "intolerance"] = "intolerance" if status_code(resource, "type") == "intolerance" else "allergy"
        reading.dietary_preferences.append(DietaryPreference(kind, code, text, criticality, _reactions(resource), status, negated))


def _exposure(resource: Resource) -> tuple[object, bool]:
    """The substance of the exposure extension, and whether it is no risk."""
    for one in objects(resource.get("extension")):
        if one.get("url") == EXPOSURE:
            parts = {text_of(held.get("url")): held.get("valueCodeableConcept") for held in objects(one.get("extension"))}
            return parts.get("substance"), _NO_RISK in codes_of(parts.get("exposureRisk"))
    return None, False


def _first_substance(resource: Resource) -> object:
    """Where the substance stands when the resource has no code of its own."""
    reactions = objects(resource.get("reaction"))
    return next((one["substance"] for one in reactions if one.get("substance")), resource.get("substance"))


def _category(resource: Resource, codes: set[str], none_of: str | None) -> str | None:
    """food, medication, environment or biologic: as said, else as a known code implies; None when neither tells."""
    said = [one for one in map(text_of, listed(resource.get("category"))) if one in ("food", "medication", "environment", "biologic")]
    if "food" in said or codes & FOODS:
        return "food"
    return said[0] if said else none_of if none_of != ANY else None


def _reactions(resource: Resource) -> list[str]:
    """What happened, by its manifestations, else in words."""
    shown: list[str | None] = []
    for one in objects(resource.get("reaction")):
        manifest = [concept_text(held) for held in objects(one.get("manifestation"))]
        shown += manifest if any(manifest) else [text_of(one.get("description"))]
    return list(dict.fromkeys(one for one in shown if one))
