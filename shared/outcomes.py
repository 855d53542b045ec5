"""What became of an event at a stage: five outcomes, a closed set of reasons, and the event that records them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec


class Stage(StrEnum):
    """The service that speaks."""

    INGEST = "ingest"  # from the provider's bytes to single messages
    NORMALIZER = "normalizer"  # from bytes to canonical patients and documents
    WRITER = "carepatron_writer"  # from canonical documents to the platform


class Action(StrEnum):
    """What a stage tried to do."""

    RECEIVE = "receive"  # take a published record in
    NORMALIZE = "normalize"  # read it into the canonical model
    UPSERT_PATIENT = "upsert_patient"  # bring a patient's snapshot to the platform
    WRITE_DOCUMENT = "write_document"  # bring a document to the platform
    WITHDRAW_DOCUMENT = "withdraw_document"  # take a document back at the platform
    MERGE_PATIENT = "merge_patient"  # a provider says that two records are one person
    SYNC = "sync"  # send again what a patient, a document or a filter stands for


class Status(StrEnum):
    """What became of it. Not terminal: received, normalized, requested; everything else ends the event's way."""

    RECEIVED = "received"  # passed on by ingest
    DUPLICATE = "duplicate"  # the same bytes were received before; not passed on
    NORMALIZED = "normalized"  # passed on by the normalizer
    REQUESTED = "requested"  # a resync was carried out; what it sent again has outcomes of its own
    CREATED = "created"  # new on the platform
    UPDATED = "updated"  # a newer version is on the platform
    UNCHANGED = "unchanged"  # the platform has exactly this already
    SUPERSEDED = "superseded"  # a newer version is known; this one was not written
    WITHDRAWN = "withdrawn"  # taken back on the platform
    SKIPPED = "skipped"  # a rule says that this clinic does not want it
    REJECTED = "rejected"  # the input or the platform said no for good; bytes kept
    FAILED = "failed"  # our own defect; bytes kept


TERMINAL: frozenset[Status] = frozenset(Status) - {Status.RECEIVED, Status.NORMALIZED, Status.REQUESTED}


class Owner(StrEnum):
    """Who acts on a reason."""

    CLINIC = "clinic"
    PROVIDER = "provider"
    OPERATIONS = "operations"
    DEVELOPERS = "developers"
    NOBODY = "nobody"


class Reason(StrEnum):
    """Why not. Closed: each member has its line in `PLAYBOOK` and in docs/runbook.md."""

    # ingest: the bytes
    EMPTY_CONTENT = "empty_content"
    CONTENT_TOO_LARGE = "content_too_large"
    UNKNOWN_FORMAT = "unknown_format"
    MALFORMED_ENVELOPE = "malformed_envelope"
    CONTENT_MISSING = "content_missing"
    # ingest and normalizer: reading
    MALFORMED_HL7 = "malformed_hl7"
    MALFORMED_JSON = "malformed_json"
    MALFORMED_XML = "malformed_xml"
    MALFORMED_DOCUMENT = "malformed_document"
    HOSTILE_XML = "hostile_xml"
    HOSTILE_PACKAGE = "hostile_package"
    TOO_DEEP = "too_deep"
    TOO_MANY_PARTS = "too_many_parts"
    PARSE_TIMEOUT = "parse_timeout"
    ENCRYPTED = "encrypted"
    UNSUPPORTED_CONTENT = "unsupported_content"
    # normalizer: the patient
    PATIENT_UNIDENTIFIED = "patient_unidentified"
    PATIENT_CONFLICT = "patient_conflict"
    PATIENT_NOT_HUMAN = "patient_not_human"
    DOCUMENT_OF_ANOTHER_PATIENT = "document_of_another_patient"
    SEVERAL_PATIENTS = "several_patients"
    MERGE_REQUESTED = "merge_requested"
    # normalizer: versions and relevance
    VERSION_KIND_CHANGED = "version_kind_changed"
    NO_CLINICAL_CONTENT = "no_clinical_content"
    NOT_RELEVANT = "not_relevant"
    PATIENT_NOT_ENROLLED = "patient_not_enrolled"
    # writer: the platform
    POSSIBLE_DUPLICATE = "possible_duplicate"
    LEFT_OUT_BY_CLINIC = "left_out_by_clinic"
    CONTACT_MERGED = "contact_merged"
    CONTACT_ARCHIVED = "contact_archived"
    CONTACT_MISSING = "contact_missing"
    VERSION_CONFLICT = "version_conflict"
    PLATFORM_REJECTED = "platform_rejected"
    PLATFORM_FORBIDDEN = "platform_forbidden"
    PLATFORM_QUOTA = "platform_quota"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    READ_BACK_DIFFERS = "read_back_differs"
    PATIENT_PARKED = "patient_parked"
    HANDOVER_NEEDED = "handover_needed"
    WITHDRAWAL_BY_HAND = "withdrawal_by_hand"
    # anywhere
    DEFECT = "defect"


@dataclass(frozen=True, slots=True)
class Play:
    """What a records clerk reads about a reason: who acts, what happened, what to do."""

    owner: Owner
    sentence: str
    fix: str


PLAYBOOK: dict[Reason, Play] = {
    Reason.EMPTY_CONTENT: Play(Owner.PROVIDER, "The record has no content.", "Ask the provider to send the document again."),
    Reason.CONTENT_TOO_LARGE: Play(
        Owner.PROVIDER, "The document is larger than the limit.", "Ask for a smaller file, or raise INGEST_MAX_BYTES."
    ),
    Reason.UNKNOWN_FORMAT: Play(
        Owner.PROVIDER, "The bytes are in no format that we can read.", "Look at the kept bytes; ask the provider which system wrote them."
    ),
    Reason.MALFORMED_ENVELOPE: Play(
        Owner.PROVIDER, "The event around the document cannot be read.", "Send CloudEvents 1.0, or the bare bytes."
    ),
    Reason.CONTENT_MISSING: Play(
        Owner.OPERATIONS, "The stored content is gone or does not match its digest.", "Restore the content store, then replay."
    ),
    Reason.MALFORMED_HL7: Play(
        Owner.PROVIDER, "The HL7 message lacks what is needed to read it.", "Ask the provider to correct the segment named in `where`."
    ),
    Reason.MALFORMED_JSON: Play(Owner.PROVIDER, "The JSON is broken.", "Ask the provider to correct it at the position named in `where`."),
    Reason.MALFORMED_XML: Play(Owner.PROVIDER, "The XML is broken.", "Ask the provider to correct it at the line named in `where`."),
    Reason.MALFORMED_DOCUMENT: Play(Owner.PROVIDER, "The file is damaged.", "Ask the provider to export the document again."),
    Reason.HOSTILE_XML: Play(
        Owner.OPERATIONS,
        "The XML declares a document type or entities, which are refused.",
        "Ask the provider why; never open the file by hand.",
    ),
    Reason.HOSTILE_PACKAGE: Play(
        Owner.PROVIDER,
        "A zip or tar file holds links, or names that lead out of its folder. It was not unpacked.",
        "Find out where the file comes from before anything else. An honest sender packs plain files under plain names.",
    ),
    Reason.TOO_DEEP: Play(Owner.PROVIDER, "The content is nested too deeply to be a document.", "Ask the provider to check the export."),
    Reason.TOO_MANY_PARTS: Play(
        Owner.PROVIDER, "One file holds more messages than the limit.", "Ask for smaller batches, or raise the limit."
    ),
    Reason.PARSE_TIMEOUT: Play(
        Owner.DEVELOPERS,
        "Reading the document took too long or stopped the reader.",
        "Keep the bytes for a test case; replay after the fix.",
    ),
    Reason.ENCRYPTED: Play(Owner.PROVIDER, "The document is protected by a password.", "Ask for an unprotected copy."),
    Reason.UNSUPPORTED_CONTENT: Play(
        Owner.DEVELOPERS, "The content is readable but of a kind that is not mapped.", "Look at the kept bytes and add a mapping."
    ),
    Reason.PATIENT_UNIDENTIFIED: Play(
        Owner.CLINIC, "The document does not say whose it is.", "File it by hand, or publish it again with the patient key."
    ),
    Reason.PATIENT_CONFLICT: Play(
        Owner.CLINIC,
        "A known identifier came with another name and another birth date.",
        "Check with the provider who is meant, then release it.",
    ),
    Reason.PATIENT_NOT_HUMAN: Play(Owner.NOBODY, "The record is about an animal.", "Nothing to do."),
    Reason.DOCUMENT_OF_ANOTHER_PATIENT: Play(
        Owner.PROVIDER, "A document with this number is known for another patient.", "Ask the provider who is right, then replay it."
    ),
    Reason.SEVERAL_PATIENTS: Play(
        Owner.PROVIDER, "One message names several patients.", "Ask the provider for one message for each patient."
    ),
    Reason.MERGE_REQUESTED: Play(
        Owner.CLINIC, "The provider says that two records are one person.", "Check both clients; merging on the platform is permanent."
    ),
    Reason.VERSION_KIND_CHANGED: Play(
        Owner.OPERATIONS, "Versions of one document are counted in two different ways.", "Check the provider's configuration, then replay."
    ),
    Reason.NO_CLINICAL_CONTENT: Play(Owner.NOBODY, "The message carries nothing for a patient's record.", "Nothing to do."),
    Reason.NOT_RELEVANT: Play(
        Owner.NOBODY, "The clinic's rules leave this document out.", "Change relevance.toml and replay if it is wanted."
    ),
    Reason.PATIENT_NOT_ENROLLED: Play(
        Owner.CLINIC, "The patient is not enrolled at the clinic.", "Enrol the patient; what was received comes in then."
    ),
    Reason.POSSIBLE_DUPLICATE: Play(
        Owner.CLINIC,
        "The platform has a client who may be this patient.",
        "Decide with `healthcare-records reviews`; what waits comes in then.",
    ),
    Reason.LEFT_OUT_BY_CLINIC: Play(
        Owner.NOBODY,
        "Somebody decided that this patient does not go to the platform.",
        "Change the decision with `healthcare-records reviews`.",
    ),
    Reason.CONTACT_MERGED: Play(
        Owner.CLINIC, "The client was merged into another one.", "Check the client, link it again, then release it."
    ),
    Reason.CONTACT_ARCHIVED: Play(Owner.CLINIC, "The client is archived.", "Restore the client on the platform, then release it."),
    Reason.CONTACT_MISSING: Play(Owner.OPERATIONS, "The client is not on the platform.", "Sync the patient again."),
    Reason.VERSION_CONFLICT: Play(
        Owner.PROVIDER, "The same version came with other content.", "Ask the provider which one is right; the platform keeps the first."
    ),
    Reason.PLATFORM_REJECTED: Play(
        Owner.DEVELOPERS, "The platform refused the request as invalid.", "Compare the request with the contract, then replay."
    ),
    Reason.PLATFORM_FORBIDDEN: Play(
        Owner.OPERATIONS, "The platform does not let us write there.", "Check the account's key and permissions."
    ),
    Reason.PLATFORM_QUOTA: Play(Owner.CLINIC, "The platform's storage is full.", "Free or buy storage, then release it."),
    Reason.UNSUPPORTED_MEDIA_TYPE: Play(Owner.DEVELOPERS, "The platform does not take this kind of file.", "Add a rendering for it."),
    Reason.PATIENT_PARKED: Play(
        Owner.OPERATIONS,
        "The platform kept failing for this patient while it worked for others.",
        "Look at the platform's answers, then `healthcare-records parked release`; what waits comes in, in its order.",
    ),
    Reason.HANDOVER_NEEDED: Play(
        Owner.CLINIC,
        "This platform takes no documents from other systems.",
        "File the documents on the platform by hand.",
    ),
    Reason.WITHDRAWAL_BY_HAND: Play(
        Owner.CLINIC,
        "The source took the document back, and the platform cannot do that for us.",
        "Open the document on the platform and mark or hide it there by hand.",
    ),
    Reason.READ_BACK_DIFFERS: Play(
        Owner.OPERATIONS,
        "The platform gives out something else than what was written.",
        "Look at the document there, then run `healthcare-records repair`.",
    ),
    Reason.DEFECT: Play(
        Owner.DEVELOPERS, "A defect of ours stopped this event.", "See the log line with the same document id; replay after the fix."
    ),
}


# What waits for a person or for a platform, and says nothing about whether we work: however much of it comes, no service stops for it.
WAITING: frozenset[Reason] = frozenset(
    {
        Reason.MERGE_REQUESTED,
        Reason.POSSIBLE_DUPLICATE,
        Reason.CONTACT_MERGED,
        Reason.CONTACT_ARCHIVED,
        Reason.PATIENT_PARKED,
        Reason.HANDOVER_NEEDED,
        Reason.WITHDRAWAL_BY_HAND,
    }
)


class LossCounts(msgspec.Struct, frozen=True, omit_defaults=True):
    """How much of a message was read: elements in the result, left out by a rule, and not mapped, the most frequent paths by name."""

    mapped: int = 0
    left_out: int = 0
    unmapped: int = 0
    paths: dict[str, int] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of the item, without any clinical content. Everything here may stand in logs and in the audit store."""

    part: int = 0  # which item of the record, counted from 0
    action: Action | None = None
    patient_key: str | None = None
    document_id: str | None = None
    document_type: str | None = None
    source_version: str | None = None
    provider_id: str | None = None
    clinic_id: str | None = None
    destination_id: str | None = None
    platform: str | None = None
    external_id: str | None = None  # the platform's id
    format: str | None = None
    sha256: str | None = None
    size: int | None = None
    rule: str | None = None  # the rule that skipped it
    mapping_version: str | None = None
    warnings: tuple[str, ...] = ()  # codes only
    losses: LossCounts | None = None  # of the whole message, on its first outcome
    nutrition: tuple[str, ...] = ()  # what it changed for a dietician: rule and kind of change, codes only
    passed_on: tuple[str, ...] = ()  # coordinates `topic/partition/offset` of what was produced from this item
    correlation_id: str | None = None  # id of the published event, where the headers do not tell it (structured mode)


@dataclass(frozen=True, slots=True)
class Done:
    """The stage did its work: received, normalized, created, updated, withdrawn, superseded or duplicate."""

    status: Status
    facts: Facts = field(default_factory=Facts)


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The target has exactly this already."""

    facts: Facts = field(default_factory=Facts)

    @property
    def status(self) -> Status:
        """Always `unchanged`."""
        return Status.UNCHANGED


@dataclass(frozen=True, slots=True)
class Skipped:
    """A rule says that it is not wanted."""

    reason: Reason
    facts: Facts = field(default_factory=Facts)

    @property
    def status(self) -> Status:
        """Always `skipped`."""
        return Status.SKIPPED


@dataclass(frozen=True, slots=True)
class Rejected:
    """The input or the platform said no for good. `where` is a path such as `PID-3.1`, never content."""

    reason: Reason
    where: str | None = None
    facts: Facts = field(default_factory=Facts)

    @property
    def status(self) -> Status:
        """Always `rejected`."""
        return Status.REJECTED


@dataclass(frozen=True, slots=True)
class Failed:
    """A defect of ours. `defect` is the error's type and place (`KeyError at shared.identity:41`), never its text."""

    defect: str
    facts: Facts = field(default_factory=Facts)

    @property
    def status(self) -> Status:
        """Always `failed`."""
        return Status.FAILED


Outcome = Done | Unchanged | Skipped | Rejected | Failed
Outcomes = Sequence[Outcome]  # one for each part of a record


class OutcomeRecorded(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One row of the synchronization log as it travels on `outcome.recorded.v1`; ids, codes, counts and times only."""

    id: str  # outcome id: the same record processed twice gives the same id
    stage: str
    status: str
    timestamp: str  # RFC 3339, UTC, when the stage decided
    topic: str  # the record that was worked on
    partition: int
    offset: int
    part: int = 0
    action: str | None = None
    reason: str | None = None
    where: str | None = None
    defect: str | None = None
    patient_key: str | None = None
    document_id: str | None = None
    document_type: str | None = None
    source_version: str | None = None
    provider_id: str | None = None
    clinic_id: str | None = None
    destination_id: str | None = None
    platform: str | None = None
    external_id: str | None = None
    format: str | None = None
    sha256: str | None = None
    size: int | None = None
    rule: str | None = None
    mapping_version: str | None = None
    warnings: tuple[str, ...] = ()
    losses: LossCounts | None = None
    nutrition: tuple[str, ...] = ()
    passed_on: tuple[str, ...] = ()
    attempt: int = 1
    duration_ms: int = 0
    correlation_id: str | None = None  # id of the published event
    replay_id: str | None = None
    origin: str | None = None  # coordinates of the first receipt, kept by every replay


ENCODER = msgspec.json.Encoder()
DECODER = msgspec.json.Decoder(OutcomeRecorded)


def encode_outcome(outcome: OutcomeRecorded) -> bytes:
    """The JSON that stands on the topic."""
    return ENCODER.encode(outcome)


def decode_outcome(value: bytes) -> OutcomeRecorded:
    """Read an outcome; raises msgspec.DecodeError when the bytes are not one. Unknown fields are ignored."""
    return DECODER.decode(value)
