"""Patient resources, and the facts about a patient: allergies, conditions, medications, procedures, immunizations, family, diet."""

from collections.abc import Callable
from typing import Literal

from services.normalizer.readers.fhir_values import CODES, begin_of, concept_text, has_code, read_concept, status_code
from shared.canonical.elements import Address, ContactDetails, DietaryPreference, HistoryEntry, HumanName, Identifier, OtherName, Telecom
from shared.canonical.reading import PatientReading, Warning
from shared.formats.fhir import Resource, Who, listed, text_of

ANIMAL = "http://hl7.org/fhir/StructureDefinition/patient-animal"
GENDERS: tuple[Literal["female", "male", "other", "unknown"], ...] = ("female", "male", "other", "unknown")
NO_ALLERGY = frozenset(CODES["negations"])
REFUTED = frozenset({"refuted"})


def is_animal(patient: Resource) -> bool:
    """Whether the Patient is an animal (extension in R4, element in STU3)."""
    return "animal" in patient or any(isinstance(one, dict) and one.get("url") == ANIMAL for one in listed(patient.get("extension")))


def read_patient(who: Who) -> PatientReading:
    """The patient as far as the resource, or a mere reference, tells."""
    reading = PatientReading(who.key, [Identifier(one.system, one.value, one.type) for one in who.identifiers])
    patient = who.resource
    if patient is None:
        return reading
    _read_names(patient, reading)
    reading.birth_date = (text_of(patient.get("birthDate")) or "")[:10] or None
    gender = text_of(patient.get("gender"))
    reading.gender = next((one for one in GENDERS if one == gender), None)
    contacts = ContactDetails()
    for one in listed(patient.get("telecom")):
        value = text_of(one.get("value")) if isinstance(one, dict) else None
        if value is None:
            continue
        if one.get("system") == "email":
            contacts.emails.append(value)
        elif one.get("system") in ("phone", "sms", "fax", "pager", None):
            contacts.phones.append(Telecom(value, "fax" if one.get("system") == "fax" else text_of(one.get("use"))))
    contacts.addresses = [made for one in listed(patient.get("address")) if isinstance(one, dict) and (made := _address(one))]
    reading.contact_details = contacts
    reading.email = contacts.emails[0] if contacts.emails else None
    return reading


def _read_names(patient: Resource, reading: PatientReading) -> None:
    """The official or usual name is the name; others stand beside it with their use."""
    names = [one for one in listed(patient.get("name")) if isinstance(one, dict)]
    order = {"official": 0, "usual": 1, None: 2, "temp": 3}
    ranked = sorted(names, key=lambda one: order.get(one.get("use"), 9))
    for one in ranked:
        made = _name(one)
        if made is None:
            continue
        if reading.name is None and (one.get("use") in order or one is ranked[-1]):
            reading.name = made
        else:
            given = made.given or ([made.text] if made.text and not made.family else [])  # a name of text alone
            reading.other_names.append(OtherName(made.family, given, text_of(one.get("use"))))


def _name(name: Resource) -> HumanName | None:
    made = HumanName(
        text_of(name.get("family")) if not isinstance(name.get("family"), list) else " ".join(filter(None, map(text_of, name["family"])))
    )
    made.given, made.prefix, made.suffix = (
        [text for one in listed(name.get(part)) if (text := text_of(one))] for part in ("given", "prefix", "suffix")
    )
    made.text = text_of(name.get("text")) or " ".join([*made.prefix, *made.given, *filter(None, [made.family]), *made.suffix]) or None
    return made if made.text else None


def _address(address: Resource) -> Address | None:
    made = Address(
        [text for one in listed(address.get("line")) if (text := text_of(one))],
        text_of(address.get("city")),
        text_of(address.get("state")),
        text_of(address.get("postalCode")),
        text_of(address.get("country")),
        text_of(address.get("use")),
    )
    if not (made.lines or made.city or made.state or made.postal_code or made.country) and (text := text_of(address.get("text"))):
        made.lines = [text]
    return made if made.lines or made.city or made.state or made.postal_code or made.country else None


def read_fact(resource: Resource, reading: PatientReading, warnings: list[Warning]) -> bool:
    """Add what a resource states about the patient; False when it is no such statement."""
    reader = FACTS.get(str(resource.get("resourceType")))
    if reader is None:
        return False
    reader(resource, reading, warnings)
    return True


def _allergy(resource: Resource, reading: PatientReading, warnings: list[Warning]) -> None:
    """AllergyIntolerance: a negation code or `refuted` denies; `entered-in-error` stays as a statement that is none."""
    code, text = read_concept(resource.get("code")), concept_text(resource.get("code"))
    verification = status_code(resource, "verificationStatus")
    categories = [one for one in listed(resource.get("category")) if isinstance(one, str)]
    is_none = has_code(resource.get("code"), NO_ALLERGY)
    negated = is_none or verification in REFUTED
    category = "food" if "food" in categories else categories[0] if categories else None
    denied = CODES["negations"].get(code.code or "") if is_none and code else None
    if category is None and denied != "allergy":
        category = denied
    status = "entered-in-error" if verification == "entered-in-error" else status_code(resource, "clinicalStatus") or "active"
    if code is None and not text:
        warnings.append(Warning("allergy_without_substance", "AllergyIntolerance.code"))
        return
    criticality = {"high": "high", "low": "low"}.get(text_of(resource.get("criticality")) or "")
    onset = begin_of(resource, "onsetDateTime", "onsetPeriod")
    said = text if code is None or code.display != text else None
    reading.medical_history.append(HistoryEntry("allergy", code, said, status, onset, negated, category, criticality))
    if category == "food":
        kind: Literal["allergy", "intolerance"] = "intolerance" if resource.get("type") == "intolerance" else "allergy"
        reactions = [
            shown
            for one in listed(resource.get("reaction"))
            if isinstance(one, dict)
            for concept in listed(one.get("manifestation"))
            if (shown := concept_text(concept.get("concept") if isinstance(concept, dict) and "concept" in concept else concept))
        ]
        reading.dietary_preferences.append(DietaryPreference(kind, code, said, criticality, reactions, status, negated))


def _condition(resource: Resource, reading: PatientReading, warnings: list[Warning]) -> None:
    verification = status_code(resource, "verificationStatus")
    status = verification if verification in ("entered-in-error", "refuted") else status_code(resource, "clinicalStatus")
    onset = begin_of(resource, "onsetDateTime", "onsetPeriod", "recordedDate", "assertedDate")
    _add(reading, HistoryEntry("condition", None, None, status, onset, verification == "refuted"), resource.get("code"))


def _medication(resource: Resource, reading: PatientReading, warnings: list[Warning]) -> None:
    concept = resource.get("medicationCodeableConcept") or resource.get("medication")
    if concept is None and isinstance(resource.get("medicationReference"), dict):
        concept = {"text": resource["medicationReference"].get("display")}
    onset = begin_of(resource, "effectivePeriod", "effectiveDateTime", "authoredOn", "dateAsserted")
    _add(
        reading,
        HistoryEntry("medication", None, None, text_of(resource.get("status")), onset, resource.get("doNotPerform") is True),
        concept,
    )


def _procedure(resource: Resource, reading: PatientReading, warnings: list[Warning]) -> None:
    status = text_of(resource.get("status"))
    onset = begin_of(resource, "performedDateTime", "performedPeriod", "occurrenceDateTime", "occurrencePeriod")
    _add(reading, HistoryEntry("procedure", None, None, status, onset, status == "not-done"), resource.get("code"))


def _immunization(resource: Resource, reading: PatientReading, warnings: list[Warning]) -> None:
    status = text_of(resource.get("status"))
    negated = status == "not-done" or resource.get("notGiven") is True
    onset = begin_of(resource, "occurrenceDateTime", "date")
    _add(reading, HistoryEntry("immunization", None, None, status, onset, negated), resource.get("vaccineCode"))


def _family(resource: Resource, reading: PatientReading, warnings: list[Warning]) -> None:
    relation = concept_text(resource.get("relationship"))
    for one in listed(resource.get("condition")):
        if isinstance(one, dict):
            entry = HistoryEntry("family", None, None, text_of(resource.get("status")))
            _add(reading, entry, one.get("code"))
            shown = concept_text(one.get("code"))
            entry.text = f"{relation}: {shown}" if relation and shown else entry.text


def _nutrition(resource: Resource, reading: PatientReading, warnings: list[Warning]) -> None:
    """NutritionOrder: oralDiet.type is a diet, modifiers are exclusions and preferences."""
    status = text_of(resource.get("status"))
    diet = resource.get("oralDiet")
    concepts: list[tuple[Literal["diet", "exclusion", "preference"], object]] = [
        *(("diet", one) for one in (listed(diet.get("type")) if isinstance(diet, dict) else [])),
        *(("exclusion", one) for one in listed(resource.get("excludeFoodModifier"))),
        *(("preference", one) for one in listed(resource.get("foodPreferenceModifier"))),
    ]
    for kind, concept in concepts:
        code, text = read_concept(concept), concept_text(concept)
        if code or text:
            said = text if code is None or code.display != text else None
            reading.dietary_preferences.append(DietaryPreference(kind, code, said, status=status))


def _add(reading: PatientReading, entry: HistoryEntry, concept: object) -> None:
    """Put code and text into an entry and keep it, when there is either."""
    entry.code, text = read_concept(concept), concept_text(concept)
    if entry.code is None and text is None:
        return
    entry.text = text if entry.code is None or entry.code.display != text else None
    reading.medical_history.append(entry)


FACTS: dict[str, Callable[[Resource, PatientReading, list[Warning]], None]] = {
    "AllergyIntolerance": _allergy,
    "Condition": _condition,
    "MedicationRequest": _medication,
    "MedicationStatement": _medication,
    "Procedure": _procedure,
    "Immunization": _immunization,
    "FamilyMemberHistory": _family,
    "NutritionOrder": _nutrition,
}
