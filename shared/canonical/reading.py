"""What one source message says, as a reader returns it and `healthcare-records normalize` prints it (nothing stored, nothing merged)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from shared.canonical.elements import (
    Coding,
    ContactDetails,
    Content,
    DietaryPreference,
    DocumentIdentifier,
    HistoryEntry,
    HumanName,
    Identifier,
    OtherName,
    Relation,
    Source,
)
from shared.outcomes import Reason

Format = Literal["hl7v2", "fhir", "ccda", "pdf", "image", "rtf", "text", "json", "unknown"]
DocumentStatus = Literal["current", "preliminary", "superseded", "withdrawn"]


@dataclass(slots=True)
class Warning:
    """Something odd that was read all the same: a code, and where. Never content."""

    code: str
    where: str | None = None


@dataclass(slots=True)
class Losses:
    """What became of the elements of a source: how many are in the result, left out by which rule, and not mapped at which path."""

    mapped: int = 0
    ignored: dict[str, int] = field(default_factory=dict)  # by rule
    unmapped: dict[str, int] = field(default_factory=dict)  # by path, never content

    def leave(self, rule: str, count: int) -> None:
        """Count elements that are left out on purpose."""
        self.ignored[rule] = self.ignored.get(rule, 0) + count

    def miss(self, path: str, count: int) -> None:
        """Count elements that have no place in the result."""
        self.unmapped[path] = self.unmapped.get(path, 0) + count


@dataclass(slots=True)
class PatientReading:
    """What the source says about the patient. Every list may be empty; None is "not said"."""

    patient_key: str
    identifiers: list[Identifier] = field(default_factory=list)
    name: HumanName | None = None
    other_names: list[OtherName] = field(default_factory=list)
    birth_date: str | None = None  # precision as written: 1970, 1970-10, 1970-10-03
    gender: Literal["female", "male", "other", "unknown"] | None = None
    email: str | None = None
    contact_details: ContactDetails = field(default_factory=ContactDetails)
    medical_history: list[HistoryEntry] = field(default_factory=list)
    dietary_preferences: list[DietaryPreference] = field(default_factory=list)


@dataclass(slots=True)
class DocumentReading:
    """One document that the source holds."""

    document_id: str
    patient_key: str | None
    type: str  # canonical type, DESIGN: lab_report … other
    source_version: str
    title: str
    status: DocumentStatus = "current"
    identifiers: list[DocumentIdentifier] = field(default_factory=list)
    type_coding: Coding | None = None
    date: str | None = None  # precision and zone as written
    authors: list[str] = field(default_factory=list)
    source: Source = field(default_factory=Source)
    relations: list[Relation] = field(default_factory=list)
    content: Content = field(default_factory=Content)


@dataclass(slots=True)
class Reading:
    """Everything read from one message or document.

    `files` holds the bytes of attachments by sha256; it is no part of the JSON.
    `losses` says what became of the source's elements, for what was read.
    `source_time` is when the source says so (RFC 3339 or as precise as given), for merging patients element by element.
    `merges` are pairs (surviving patient key, patient key given up) that the source declares.
    """

    format: Format
    outcome: Literal["normalized", "rejected", "skipped"]
    reason: Reason | None = None
    where: str | None = None
    warnings: list[Warning] = field(default_factory=list)
    patients: list[PatientReading] = field(default_factory=list)
    documents: list[DocumentReading] = field(default_factory=list)
    losses: Losses | None = None
    source_time: str | None = None
    merges: list[tuple[str, str]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProviderProfile:
    """What is configured for a provider, as far as reading needs it."""

    provider_id: str
    time_zone: str = "UTC"
    authorities: tuple[str, ...] = ()  # assigning authorities that name patients, in order
    organization: str | None = None
    business_systems: tuple[str, ...] = ()  # identifier systems that name documents independent of version
    document_types: Mapping[str, str] = field(default_factory=dict)  # the sender's own code of a document: canonical type
    codes: Mapping[str, Coding] = field(default_factory=dict)  # `system|code` of the sender: the standard's
    genders: Mapping[str, str] = field(default_factory=dict)  # the sender's own code: female, male, other, unknown


def rejected(format: Format, reason: Reason, where: str | None = None) -> Reading:
    """A reading that ends in a refusal."""
    return Reading(format=format, outcome="rejected", reason=reason, where=where)


def skipped(format: Format, reason: Reason, where: str | None = None) -> Reading:
    """A reading that carries nothing for the record."""
    return Reading(format=format, outcome="skipped", reason=reason, where=where)
