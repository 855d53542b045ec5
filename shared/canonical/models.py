"""The owner's data model: User, Patient, HealthcareDocument, SynchronizationLog. Errors hide their input, `repr` hides content."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.canonical.elements import (
    Coding,
    ContactDetails,
    Content,
    DietaryPreference,
    DocumentIdentifier,
    HistoryEntry,
    HumanName,
    Identifier,
    NutritionChange,
    OtherName,
    Relation,
    Source,
)


class DocumentType(StrEnum):
    """Canonical document types (LOINC in mappings/document_types.toml)."""

    LAB_REPORT = "lab_report"
    PROGRESS_NOTE = "progress_note"
    PHYSICAL_ASSESSMENT = "physical_assessment"
    CONSULT_NOTE = "consult_note"
    REFERRAL_NOTE = "referral_note"
    DISCHARGE_SUMMARY = "discharge_summary"
    TRANSFER_SUMMARY = "transfer_summary"
    CARE_SUMMARY = "care_summary"
    CARE_PLAN = "care_plan"
    IMAGING_REPORT = "imaging_report"
    PATHOLOGY_REPORT = "pathology_report"
    CARDIOLOGY_REPORT = "cardiology_report"
    PROCEDURE_NOTE = "procedure_note"
    OPERATIVE_NOTE = "operative_note"
    EMERGENCY_NOTE = "emergency_note"
    NURSING_NOTE = "nursing_note"
    NUTRITION_NOTE = "nutrition_note"
    MEDICATION_LIST = "medication_list"
    IMMUNIZATION_RECORD = "immunization_record"
    OTHER = "other"


class _Model(BaseModel):
    """Unknown fields are kept out, input stays out of errors."""

    model_config = ConfigDict(hide_input_in_errors=True, extra="ignore")


class User(_Model):
    """Someone who works with records, or whom they are about."""

    id: UUID  # ours
    email: str = Field(repr=False)
    name: str = Field(repr=False)
    type: str  # dietician, patient, admin …
    carepatron_id: str | None = None  # the platform's id


class Patient(_Model):
    """A patient's snapshot: everything known from all documents of one provider's record."""

    id: UUID  # the patient key
    user_id: UUID | None = None  # the dietician
    name: HumanName | None = Field(default=None, repr=False)
    other_names: list[OtherName] = Field(default_factory=list, repr=False)
    birth_date: str | None = Field(default=None, repr=False)  # precision as written
    gender: str | None = Field(default=None, repr=False)  # female, male, other, unknown
    email: str | None = Field(default=None, repr=False)
    contact_details: ContactDetails = Field(default_factory=ContactDetails, repr=False)
    medical_history: list[HistoryEntry] = Field(default_factory=list, repr=False)
    dietary_preferences: list[DietaryPreference] = Field(default_factory=list, repr=False)
    nutrition_changes: list[NutritionChange] = Field(default_factory=list, repr=False)  # newest first
    identifiers: list[Identifier] = Field(default_factory=list, repr=False)
    carepatron_patient_id: str | None = None  # the platform's id


class HealthcareDocument(_Model):
    """One clinical document."""

    id: UUID
    patient_id: UUID | None
    type: DocumentType
    date: str | None = Field(default=None, repr=False)  # precision and zone as written
    content: Content = Field(default_factory=Content, repr=False)
    source: Source = Field(default_factory=Source, repr=False)
    type_coding: Coding | None = Field(default=None, repr=False)
    title: str = Field(repr=False)
    status: str = "current"  # current, preliminary, superseded, withdrawn
    authors: list[str] = Field(default_factory=list, repr=False)
    identifiers: list[DocumentIdentifier] = Field(default_factory=list, repr=False)
    source_version: str
    relations: list[Relation] = Field(default_factory=list, repr=False)


class SynchronizationLog(_Model):
    """One outcome of one event at one stage, as the audit store keeps it. No clinical content."""

    id: UUID  # outcome id
    patient_id: UUID | None = None
    document_id: UUID | None = None
    action: str | None  # receive, normalize, upsert_patient, write_document …
    timestamp: datetime  # when the stage decided, UTC
    status: str  # received, duplicate, normalized, created … failed
    details: dict[str, Any] = Field(default_factory=dict)  # codes, counts, coordinates
    stage: str
    reason: str | None = None
    where: str | None = None
    platform: str | None = None
    external_id: str | None = None
    provider: str | None = None
    attempt: int = 1
    duration_ms: int = 0
    correlation_id: str | None = None  # id of the published event
    replay_id: str | None = None
    mapping_version: str | None = None
