"""A patient's state from all statements about them: newest source time wins element by element, whatever the order of arrival."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from services.normalizer.lens.findings import NOTHING, Sight, look
from services.normalizer.registry.keys import element_key, fold
from shared.canonical.elements import ContactDetails, DietaryPreference, HistoryEntry, HumanName, Identifier, OtherName
from shared.canonical.models import Patient
from shared.canonical.reading import PatientReading

IDENTITY = ("name", "birth_date", "gender")


@dataclass(frozen=True, slots=True)
class Statement:
    """What one source says about a patient. `source_key` is a document id, or `message|<sha256>` for one that holds no document.

    `order` sorts statements in time, and gives the same order for the same set: source time, version, digest.
    """

    source_key: str
    order: str
    reading: PatientReading
    is_withdrawn: bool = False
    sight: Sight = NOTHING  # what the diet lens sees in it

    @property
    def document_id(self) -> str | None:
        """The document that said so, where there is one."""
        return None if self.source_key.startswith("message|") else self.source_key


def statement(
    source_key: str, order: str, reading: PatientReading, *, is_withdrawn: bool = False, document: bytes | None = None
) -> Statement:
    """A statement whose history and diet entries name the document that they come from; `document` is its canonical JSON."""
    made = Statement(source_key, order, reading, is_withdrawn, look(reading, document))
    for entry in reading.medical_history:
        entry.source_document_id = made.document_id
    for fact in reading.dietary_preferences:
        fact.source_document_id = made.document_id
    return made


def merge(patient_key: str, statements: Iterable[Statement]) -> Patient:
    """The patient that these statements describe. Absent is not deleted; of a withdrawn source only who it was about remains."""
    ordered = sorted(statements, key=lambda one: (one.order, one.source_key))
    scalars: dict[str, Any] = {}
    identifiers: dict[tuple[str, str], Identifier] = {}
    other_names: dict[tuple[str, str], OtherName] = {}
    contacts = ContactDetails()
    history: dict[tuple[str, str], HistoryEntry] = {}
    diet: dict[tuple[str, str], DietaryPreference] = {}
    for one in ordered:  # oldest first, so that the newest has the last word
        reading = one.reading
        for field in IDENTITY if one.is_withdrawn else (*IDENTITY, "email"):
            value = getattr(reading, field)
            if value is not None:
                scalars[field] = value
        for identifier in reading.identifiers:
            identifiers[(identifier.system or "", identifier.value)] = identifier
        for name in reading.other_names:
            other_names[(fold(name.family or ""), fold(" ".join(name.given)))] = name
        if one.is_withdrawn:
            continue
        said = reading.contact_details
        contacts = ContactDetails(
            phones=said.phones or contacts.phones, emails=said.emails or contacts.emails, addresses=said.addresses or contacts.addresses
        )
        for entry in reading.medical_history:
            history[(entry.kind, element_key(entry.code, entry.text))] = entry
        for fact in reading.dietary_preferences:
            diet[(fact.kind, element_key(fact.code, fact.text))] = fact
    return Patient.model_construct(
        id=UUID(patient_key),
        user_id=None,
        carepatron_patient_id=None,
        name=scalars.get("name"),
        birth_date=scalars.get("birth_date"),
        gender=scalars.get("gender"),
        email=scalars.get("email"),
        identifiers=[identifiers[key] for key in sorted(identifiers)],
        other_names=[other_names[key] for key in sorted(other_names)],
        contact_details=contacts,
        medical_history=[history[key] for key in sorted(history)],
        dietary_preferences=[diet[key] for key in sorted(diet)],
    )


def is_other_person(known: Patient, offered: PatientReading) -> bool:
    """True when name *and* birth date contradict what is known: the identifier was given to somebody else."""
    return _names_differ(known, offered) and _dates_differ(known.birth_date, offered.birth_date)


def _names_differ(known: Patient, offered: PatientReading) -> bool:
    """True when both sides have names and no name of one shares a word with a name of the other."""
    ours = _words(known.name, known.other_names)
    theirs = _words(offered.name, offered.other_names)
    return bool(ours) and bool(theirs) and not ours & theirs


def _words(name: HumanName | None, others: Iterable[OtherName]) -> set[str]:
    """The folded words of family names; of given names where there is no family name."""
    found: set[str] = set()
    for one in ([name] if name else []) + list(others):
        text = one.family or " ".join(one.given) or (one.text if isinstance(one, HumanName) else None) or ""
        found.update(fold(text).split())
    return found


def _dates_differ(known: str | None, offered: str | None) -> bool:
    """True when both are there and neither is a less precise form of the other."""
    if not known or not offered:
        return False
    return not (known.startswith(offered) or offered.startswith(known))
