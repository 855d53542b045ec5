"""Patient resources: names, dates, contact details."""

import re
from typing import Literal

from services.normalizer.readers.fhir_values import Context
from shared.canonical.elements import Address, ContactDetails, HumanName, Identifier, OtherName, Telecom
from shared.canonical.reading import PatientReading
from shared.formats.fhir_subjects import Who
from shared.formats.fhir_tree import Resource, listed, moment, objects, text_of

ANIMAL = "http://hl7.org/fhir/StructureDefinition/patient-animal"
GENDERS: tuple[Literal["female", "male", "other", "unknown"], ...] = ("female", "male", "other", "unknown")
PHONES = frozenset({"phone", "sms", "fax", "pager", None})
_DATE = re.compile(r"\d{4}(?:-\d\d(?:-\d\d)?)?")
_NAME_ORDER = {"official": 0, "usual": 1, None: 2, "temp": 3}


def is_animal(patient: Resource) -> bool:
    """Whether the Patient is an animal (extension in R4, element in STU3)."""
    return "animal" in patient or any(one.get("url") == ANIMAL for one in objects(patient.get("extension")))


def read_patient(who: Who, context: Context) -> PatientReading:
    """The patient as far as the resource, or a mere reference, tells."""
    reading = PatientReading(who.key or "", [Identifier(one.system, one.value, one.type) for one in who.identifiers])
    patient = who.resource
    if patient is None:
        return reading
    place = context.tree.place(patient)
    _read_names(patient, reading)
    birth_date = (text_of(patient.get("birthDate")) or "").partition("T")[0]
    if birth_date and _DATE.fullmatch(birth_date) and moment(birth_date, "UTC"):
        reading.birth_date = birth_date
    elif birth_date:
        context.warn("date_not_understood", f"{place}.birthDate")
    gender = text_of(patient.get("gender"))
    reading.gender = next((one for one in GENDERS if one == gender), None)
    contacts = ContactDetails()
    for number, one in enumerate(objects(patient.get("telecom"))):
        value, system, use = (text_of(one.get(name)) for name in ("value", "system", "use"))
        if value is None or use == "old":
            continue
        if system == "email" or (system is None and "@" in value):
            contacts.emails.append(value.removeprefix("mailto:"))
        elif system in PHONES:
            contacts.phones.append(Telecom(value.removeprefix("tel:"), "fax" if system == "fax" else use))
        else:
            context.warn("contact_not_mapped", f"{place}.telecom[{number}]")  # a url has no place in the model
    contacts.addresses = [made for one in objects(patient.get("address")) if one.get("use") != "old" and (made := _address(one))]
    reading.contact_details = contacts
    reading.email = contacts.emails[0] if contacts.emails else None
    return reading


def _read_names(patient: Resource, reading: PatientReading) -> None:
    """The official or usual name is the name; others stand beside it with their use."""
    names = objects(patient.get("name"))
    for one in sorted(names, key=lambda one: _NAME_ORDER.get(text_of(one.get("use")), 9)):
        made = _name(one)
        if made is None:
            continue
        if reading.name is None:
            reading.name = made
        else:
            given = made.given or ([made.text] if made.text and not made.family else [])  # a name of text alone
            reading.other_names.append(OtherName(made.family, given, text_of(one.get("use"))))


def _name(name: Resource) -> HumanName | None:
    family = " ".join(text for one in listed(name.get("family")) if (text := text_of(one))) or None  # a list in STU3's forerunner
    given, prefix, suffix = ([text for one in listed(name.get(part)) if (text := text_of(one))] for part in ("given", "prefix", "suffix"))
    parts = [*prefix, *given, *([family] if family else []), *suffix]
    made = HumanName(family, given, prefix, suffix, text_of(name.get("text")) or " ".join(parts))
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
    is_empty = not (made.lines or made.city or made.state or made.postal_code or made.country)
    if is_empty and (text := text_of(address.get("text"))):
        made.lines = text.splitlines()
    return None if is_empty and not made.lines else made
