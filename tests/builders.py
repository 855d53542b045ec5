"""Builders that fill in what a test does not care about."""

from uuid import UUID, uuid5

from shared.canonical.elements import Coding, Content, DietaryPreference, HumanName, Identifier, Source
from shared.canonical.models import DocumentType, HealthcareDocument
from shared.canonical.reading import PatientReading
from shared.delivery.records import Record
from shared.identity import NAMESPACE

PATIENT = str(uuid5(NAMESPACE, "test|patient"))
DOCUMENT = str(uuid5(NAMESPACE, "test|document"))


def a_record(
    value: bytes | None = b"x", *, headers: tuple[tuple[str, bytes | None], ...] = (), offset: int = 0, key: bytes | None = b"k"
) -> Record:
    """A Kafka record."""
    return Record("document.received.v1", 0, offset, key, value, headers, 1_793_600_000_000)


def a_patient(**said: object) -> PatientReading:
    """What a source says about a patient."""
    defaults: dict[str, object] = {
        "patient_key": PATIENT,
        "identifiers": [Identifier("urn:oid:2.999", "1", "MR")],
        "name": HumanName(family="Marker", given=["Test"]),
        "birth_date": "1970-10-03",
    }
    return PatientReading(**{**defaults, **said})  # type: ignore[arg-type]


def an_allergy(code: str, *, negated: bool = False, status: str = "active") -> DietaryPreference:
    """A food allergy, or its negation."""
    return DietaryPreference("allergy", Coding("http://snomed.info/sct", code, None), None, None, [], status, negated)


def a_document(
    version: str = "oru:1", *, text: str = "text", status: str = "current", document_id: str = DOCUMENT, patient: str = PATIENT
) -> HealthcareDocument:
    """A canonical document."""
    return HealthcareDocument.model_construct(
        id=UUID(document_id),
        patient_id=UUID(patient),
        type=DocumentType.LAB_REPORT,
        date="2026-11-02",
        content=Content(text=text),
        source=Source(),
        type_coding=None,
        title="Report",
        status=status,
        authors=[],
        identifiers=[],
        source_version=version,
        relations=[],
    )
