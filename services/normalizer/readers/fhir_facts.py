"""What resources state about a patient: allergies, conditions, medications, procedures, immunizations, family, social history, diet."""

from collections.abc import Callable

from services.normalizer.readers.denials import denied_allergy, denies, knows_nothing
from services.normalizer.readers.fhir_allergies import RETRACTED, read_allergy
from services.normalizer.readers.fhir_concepts import concept_text, read_code, status_code
from services.normalizer.readers.fhir_nutrition import coded, read_nutrition_order
from services.normalizer.readers.fhir_values import Context, onset_of, read_value
from services.normalizer.readers.lines import value_text
from shared.canonical.elements import DietaryPreference, HistoryEntry
from shared.canonical.reading import PatientReading
from shared.formats.fhir_tree import Resource, kind_of, objects, text_of

_DENYING = ("refuted", "not-done", "not-taken", "entered-in-error")
_KINDS = ("DateTime", "Period", "Age", "Range", "String")
# when a medicine was taken, given, handed out or ordered (R4, and what STU3, R5 and DSTU2 call it)
_MEDICATION_TIMES = (
    "effectivePeriod",
    "effectiveDateTime",
    "occurencePeriod",
    "occurenceDateTime",
    "whenHandedOver",
    "whenPrepared",
    "authoredOn",
    "dateWritten",
)


def read_fact(resource: Resource, reading: PatientReading, context: Context) -> None:
    """Add what a resource states about the patient."""
    FACTS[kind_of(resource)](resource, reading, context)


def _condition(resource: Resource, reading: PatientReading, context: Context) -> None:
    verification = status_code(resource, "verificationStatus")
    status = verification if verification in RETRACTED else status_code(resource, "clinicalStatus")
    onset = onset_of(resource, "onsetDateTime", "onsetPeriod", "onsetAge", "onsetRange", "onsetString", "onsetQuantity")
    _add(resource, reading, context, HistoryEntry("condition", None, None, status, onset, verification == "refuted"), resource.get("code"))


def _medication(resource: Resource, reading: PatientReading, context: Context) -> None:
    """A medicine that is ordered, taken, given or handed out."""
    concept = resource.get("medicationCodeableConcept") or resource.get("medication")
    reference = resource.get("medicationReference")
    if isinstance(concept, dict) and "reference" in concept:  # CodeableReference in R5
        reference, concept = concept["reference"], concept.get("concept")
    if concept is None and isinstance(reference, dict):
        found = context.tree.find(reference, resource)
        concept = (_product(found) if found else None) or {"text": reference.get("display")}
    status = text_of(resource.get("status"))
    onset = onset_of(resource, *_MEDICATION_TIMES)
    negated = _says_not(resource, "doNotPerform", "notGiven", "wasNotGiven", "wasNotTaken") or status in ("not-taken", "not-done")
    negated = negated or resource.get("taken") == "n"
    _add(resource, reading, context, HistoryEntry("medication", None, None, status, onset, negated), concept)


def _product(medication: Resource) -> object:
    """What a Medication is: its code, else what it is made of."""
    if concept_text(medication.get("code")):
        return medication["code"]
    parts = (one.get("itemCodeableConcept") or one.get("item") for one in objects(medication.get("ingredient")))
    named = ", ".join(text for one in parts if (text := concept_text(one)))
    return {"text": named} if named else None


def _procedure(resource: Resource, reading: PatientReading, context: Context) -> None:
    status = text_of(resource.get("status"))
    onset = onset_of(resource, *(f"{stem}{kind}" for stem in ("performed", "occurrence") for kind in _KINDS))
    negated = status == "not-done" or _says_not(resource, "notDone", "notPerformed")
    _add(resource, reading, context, HistoryEntry("procedure", None, None, status, onset, negated), resource.get("code"))


def _immunization(resource: Resource, reading: PatientReading, context: Context) -> None:
    status = text_of(resource.get("status"))
    onset = onset_of(resource, "occurrenceDateTime", "occurrenceString", "date")
    negated = status == "not-done" or _says_not(resource, "notGiven", "wasNotGiven")
    _add(resource, reading, context, HistoryEntry("immunization", None, None, status, onset, negated), resource.get("vaccineCode"))


def _says_not(resource: Resource, *names: str) -> bool:
    """Whether one of these elements says that it was not done."""
    return any(resource.get(one) is True for one in names)


def _family(resource: Resource, reading: PatientReading, context: Context) -> None:
    """One entry for each condition of the relative, who stands in the text."""
    relation = concept_text(resource.get("relationship")) or text_of(resource.get("name"))
    for one in objects(resource.get("condition")):
        onset = onset_of(one, "onsetString", "onsetAge", "onsetRange", "onsetPeriod", "onsetQuantity")
        entry = HistoryEntry("family", None, None, text_of(resource.get("status")), onset)
        _add(resource, reading, context, entry, one.get("code"))
        if relation and entry.text:
            entry.text = f"{relation}: {entry.text}"


def read_social(resource: Resource, reading: PatientReading, context: Context) -> None:
    """An Observation of social history: the question is the code, the answers stand in the text."""
    status = text_of(resource.get("status"))
    onset = onset_of(resource, "effectiveDateTime", "effectivePeriod", "effectiveInstant")
    entry = HistoryEntry("social", None, None, status, onset)
    _add(resource, reading, context, entry, resource.get("code"))
    if not entry.text:
        return
    answers = [value_text(value)] if (value := read_value(resource)).kind != "none" else []
    for one in objects(resource.get("component")):
        if (value := read_value(one)).kind != "none":
            answers.append(": ".join(text for text in (concept_text(one.get("code")), value_text(value)) if text))
    if answers:
        entry.text = f"{entry.text}: {'; '.join(answers)}"


def diets_of(encounter: Resource) -> list[object]:
    """The diet preferences of a stay: under hospitalization in R4, on the encounter itself in R5."""
    stay = next(iter(objects(encounter.get("hospitalization"))), {})
    return [*objects(stay.get("dietPreference")), *objects(encounter.get("dietPreference"))]


def _encounter(resource: Resource, reading: PatientReading, context: Context) -> None:
    found = [DietaryPreference("preference", *coded(one), status="active") for one in diets_of(resource)]
    reading.dietary_preferences += [one for one in found if one.code or one.text]


def _add(resource: Resource, reading: PatientReading, context: Context, entry: HistoryEntry, concept: object) -> None:
    """Put code and text into an entry and keep it, when there is either; a code that says "none known" denies."""
    entry.code, entry.text = read_code(concept), concept_text(concept)
    if knows_nothing(entry.code, entry.text):
        context.warn("no_information", context.tree.place(resource))
        return
    entry.negated = entry.negated or denies(entry.code, entry.text)
    if entry.code is None and entry.text is None:
        context.warn("fact_without_code", context.tree.place(resource))
        return
    reading.medical_history.append(entry)


FACTS: dict[str, Callable[[Resource, PatientReading, Context], None]] = {
    "AllergyIntolerance": read_allergy,
    "Condition": _condition,
    "MedicationRequest": _medication,
    "MedicationOrder": _medication,
    "MedicationStatement": _medication,
    "MedicationAdministration": _medication,
    "MedicationDispense": _medication,
    "MedicationUsage": _medication,
    "Procedure": _procedure,
    "Immunization": _immunization,
    "FamilyMemberHistory": _family,
    "NutritionOrder": read_nutrition_order,
    "Encounter": _encounter,
}


def fact_lines(resource: Resource, context: Context) -> list[str]:
    """What a resource states, as people read it, for a document that refers to it without words of its own."""
    if kind_of(resource) not in FACTS:
        return []
    said = PatientReading("")
    read_fact(resource, said, context)
    entries = said.dietary_preferences if kind_of(resource) in ("NutritionOrder", "Encounter") else said.medical_history
    return [_line(one) for one in entries if one.text]


def _line(entry: HistoryEntry | DietaryPreference) -> str:
    """Words and status; what is denied without saying so itself begins with "not"."""
    says_so = denied_allergy([entry.code] if entry.code else [], entry.text) is not None or denies(entry.code, entry.text)
    shown = entry.text if not entry.negated or entry.status in _DENYING or says_so else f"not: {entry.text}"
    return f"{shown} ({entry.status})" if entry.status else str(shown)
