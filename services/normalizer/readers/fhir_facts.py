"""What resources state about a patient: allergies, conditions, medications, procedures, immunizations, family, social history, diet."""

from collections.abc import Callable
from typing import Literal

from services.normalizer.mappings.tables import load_table
from services.normalizer.readers.denials import ANY, denied, says_nothing
from services.normalizer.readers.fhir_nutrition import coded, read_nutrition_order
from services.normalizer.readers.fhir_values import CODES, Context, codes_of, concept_text, read_code, read_value, status_code
from services.normalizer.readers.lines import value_text
from shared.canonical.elements import DietaryPreference, HistoryEntry
from shared.canonical.reading import PatientReading
from shared.formats.fhir_identity import begin_of
from shared.formats.fhir_tree import Resource, kind_of, listed, objects, text_of

NEGATIONS: dict[str, str] = CODES["negations"]
UNKNOWN = frozenset(CODES["without_information"])
FOODS = frozenset(load_table("ccda_allergies")["foods"])
_RETRACTED = ("entered-in-error", "refuted")


def read_fact(resource: Resource, reading: PatientReading, context: Context) -> None:
    """Add what a resource states about the patient."""
    FACTS[kind_of(resource)](resource, reading, context)


def _allergy(resource: Resource, reading: PatientReading, context: Context) -> None:
    """AllergyIntolerance: a negation code or `refuted` denies; `entered-in-error` stays as a statement that there is none."""
    concept = resource.get("code") or _first_substance(resource)
    code, text, codes = read_code(concept), concept_text(concept), codes_of(concept)
    if codes & UNKNOWN or says_nothing(text):
        context.warn("no_information", context.tree.place(resource))
        return
    if code is None and not text:
        context.warn("allergy_without_substance", context.tree.place(resource))
        return
    none_of = next((NEGATIONS[one] for one in codes if one in NEGATIONS), None) or denied([code] if code else [], text)
    verification = status_code(resource, "verificationStatus")
    negated = none_of is not None or verification == "refuted"
    category = _category(resource, codes, none_of)
    status = verification if verification in _RETRACTED else status_code(resource, "clinicalStatus")
    criticality = {"high": "high", "low": "low", "CRITH": "high", "CRITL": "low"}.get(text_of(resource.get("criticality")) or "")
    onset = begin_of(resource, "onsetDateTime", "onsetPeriod", "onset")
    reading.medical_history.append(HistoryEntry("allergy", code, text, status, onset, negated, category, criticality))
    if category == "food" or (none_of == ANY and category is None):  # "no known allergies" of any kind says so of food too
        kind: Literal["allergy", "intolerance"] = "intolerance" if status_code(resource, "type") == "intolerance" else "allergy"
        reading.dietary_preferences.append(DietaryPreference(kind, code, text, criticality, _reactions(resource), status, negated))


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
    manifestations = (one for reaction in objects(resource.get("reaction")) for one in objects(reaction.get("manifestation")))
    return list(dict.fromkeys(text for one in manifestations if (text := concept_text(one))))


def _condition(resource: Resource, reading: PatientReading, context: Context) -> None:
    verification = status_code(resource, "verificationStatus")
    status = verification if verification in _RETRACTED else status_code(resource, "clinicalStatus")
    onset = begin_of(resource, "onsetDateTime", "onsetPeriod", "onsetString", "recordedDate", "assertedDate")
    _add(resource, reading, context, HistoryEntry("condition", None, None, status, onset, verification == "refuted"), resource.get("code"))


def _medication(resource: Resource, reading: PatientReading, context: Context) -> None:
    concept = resource.get("medicationCodeableConcept") or resource.get("medication")
    reference = resource.get("medicationReference")
    if isinstance(concept, dict) and "reference" in concept:  # CodeableReference in R5
        reference, concept = concept["reference"], concept.get("concept")
    if concept is None and isinstance(reference, dict):
        found = context.tree.find(reference, resource)
        concept = found.get("code") if found else {"text": reference.get("display")}
    status = text_of(resource.get("status"))
    onset = begin_of(resource, "effectivePeriod", "effectiveDateTime", "authoredOn", "dateAsserted", "dateWritten")
    negated = resource.get("doNotPerform") is True or status == "not-taken" or resource.get("taken") == "n"
    _add(resource, reading, context, HistoryEntry("medication", None, None, status, onset, negated), concept)


def _procedure(resource: Resource, reading: PatientReading, context: Context) -> None:
    status = text_of(resource.get("status"))
    onset = begin_of(resource, "performedDateTime", "performedPeriod", "performedString", "occurrenceDateTime", "occurrencePeriod")
    negated = status == "not-done" or resource.get("notDone") is True
    _add(resource, reading, context, HistoryEntry("procedure", None, None, status, onset, negated), resource.get("code"))


def _immunization(resource: Resource, reading: PatientReading, context: Context) -> None:
    status = text_of(resource.get("status"))
    onset = begin_of(resource, "occurrenceDateTime", "occurrenceString", "date")
    negated = status == "not-done" or resource.get("notGiven") is True
    _add(resource, reading, context, HistoryEntry("immunization", None, None, status, onset, negated), resource.get("vaccineCode"))


def _family(resource: Resource, reading: PatientReading, context: Context) -> None:
    """One entry for each condition of the relative, who stands in the text."""
    relation = concept_text(resource.get("relationship")) or text_of(resource.get("name"))
    for one in objects(resource.get("condition")):
        onset = begin_of(one, "onsetString")
        entry = HistoryEntry("family", None, None, text_of(resource.get("status")), onset)
        _add(resource, reading, context, entry, one.get("code"))
        if relation and entry.text:
            entry.text = f"{relation}: {entry.text}"


def read_social(resource: Resource, reading: PatientReading, context: Context) -> None:
    """An Observation of social history: the question is the code, the answer stands in the text."""
    status, value = text_of(resource.get("status")), read_value(resource)
    onset = begin_of(resource, "effectiveDateTime", "effectivePeriod", "issued")
    entry = HistoryEntry("social", None, None, status, onset)
    _add(resource, reading, context, entry, resource.get("code"))
    if value.kind != "none" and entry.text:
        entry.text = f"{entry.text}: {value_text(value)}"


def diets_of(encounter: Resource) -> list[object]:
    """The diet preferences of a stay: under hospitalization in R4, on the encounter itself in R5."""
    stay = next(iter(objects(encounter.get("hospitalization"))), {})
    return [*objects(stay.get("dietPreference")), *objects(encounter.get("dietPreference"))]


def _encounter(resource: Resource, reading: PatientReading, context: Context) -> None:
    found = [DietaryPreference("preference", *coded(one), status="active") for one in diets_of(resource)]
    reading.dietary_preferences += [one for one in found if one.code or one.text]


def _add(resource: Resource, reading: PatientReading, context: Context, entry: HistoryEntry, concept: object) -> None:
    """Put code and text into an entry and keep it, when there is either; a code that says "none known" denies."""
    codes = codes_of(concept)
    if codes & UNKNOWN:
        context.warn("no_information", context.tree.place(resource))
        return
    entry.code, entry.text = read_code(concept), concept_text(concept)
    entry.negated = entry.negated or any(one in NEGATIONS for one in codes)
    if entry.code is None and entry.text is None:
        context.warn("fact_without_code", context.tree.place(resource))
        return
    reading.medical_history.append(entry)


FACTS: dict[str, Callable[[Resource, PatientReading, Context], None]] = {
    "AllergyIntolerance": _allergy,
    "Condition": _condition,
    "MedicationRequest": _medication,
    "MedicationStatement": _medication,
    "MedicationUsage": _medication,
    "Procedure": _procedure,
    "Immunization": _immunization,
    "FamilyMemberHistory": _family,
    "NutritionOrder": read_nutrition_order,
    "Encounter": _encounter,
}
