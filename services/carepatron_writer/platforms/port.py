"""What the writer needs of a platform, whichever it is: values in, values out; an outage is an exception, nothing else is."""

from contextvars import ContextVar
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

from shared.errors import Unavailable
from shared.outcomes import Reason


@dataclass(frozen=True, slots=True)
class Card:
    """A patient as a platform's client card. No revision inside: the same facts make the same card."""

    patient_key: str
    first_name: str
    last_name: str
    email: str | None
    phone: str | None
    birth_date: str | None  # full dates only
    medical_history: tuple[dict[str, Any], ...]
    dietary_preferences: tuple[dict[str, Any], ...]
    nutrition_changes: tuple[dict[str, Any], ...] = ()  # newest first


@dataclass(frozen=True, slots=True)
class Upload:
    """One document as it goes to a platform: facts about it, and its bytes."""

    document_id: str
    version: str  # sortable; the platform keeps the highest
    type: str
    type_coding: dict[str, Any] | None
    title: str
    date: str | None
    authors: tuple[str, ...]
    source: dict[str, Any]
    status: str
    supersedes: str | None
    dietary: tuple[str, ...]
    abnormal: tuple[str, ...]
    media_type: str
    content: bytes
    sha256: str  # of the content


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document as the platform has it. `is_same` says that version, facts and bytes are those of the upload compared with it."""

    external_id: str
    version: str
    version_count: int
    is_withdrawn: bool
    is_same: bool
    document_id: str | None = None  # ours, where a list is read
    sha256: str | None = None  # as the platform's record says


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What the platform gives out for a document: the digest is of the bytes that came, not of what a record says of them."""

    external_id: str
    version: str
    sha256: str
    size: int
    is_withdrawn: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """A client who may be the patient: names of the fields that agree and that differ, never what stands in them."""

    external_id: str
    agrees: tuple[str, ...]
    differs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Created:
    """New on the platform."""

    external_id: str
    warnings: tuple[str, ...] = ()  # codes of what was left out


@dataclass(frozen=True, slots=True)
class Updated:
    """Changed on the platform: a newer version, or a withdrawal."""

    external_id: str
    warnings: tuple[str, ...] = ()  # codes of what was left as it is


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The platform has exactly this already. Without an external id: there was nothing to take back."""

    external_id: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stale:
    """The platform has a newer version; nothing was written."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """The platform has other content under the same version; nothing was written."""


@dataclass(frozen=True, slots=True)
class Parked:
    """Not possible until a person or the platform changes something; the same request may succeed later."""

    reason: Reason
    where: str | None = None
    candidates: tuple[Candidate, ...] = ()  # of a possible duplicate


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Nothing happened; the platform asks us to come back."""

    seconds: float
    is_for_all: bool  # the whole account waits, not only this operation


@dataclass(frozen=True, slots=True)
class Rejected:
    """The platform said no for good."""

    reason: Reason
    where: str | None = None


Answer = Created | Updated | Unchanged | Stale | Conflict | Parked | Rejected | RetryAfter


class OutcomeUnknown(Unavailable):
    """The request may or may not have had its effect: read back before writing a second time."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a platform's account can do, and how we know."""

    write_documents: bool
    upsert_by_reference: bool
    update_content: bool
    withdraw: bool
    share: bool
    webhooks: bool
    export_contacts: bool
    max_bytes: int
    media_types: tuple[str, ...]
    rendering: str  # what structured documents become: pdf or text
    evidence: str


@dataclass(frozen=True, slots=True)
class Drift:
    """Where a live system does not agree with its profile."""

    where: str  # a path in the profile
    expected: str
    found: str


class Priority(IntEnum):
    """Who goes first when a platform's limits are tight; the lower the sooner."""

    LIVE_CORRECTION = 0
    LIVE = 1
    REPLAYED_CORRECTION = 2
    REPLAYED = 3

    @property
    def is_live(self) -> bool:
        """Whether the document has just come from its provider."""
        return self <= Priority.LIVE


PRIORITY: ContextVar[Priority] = ContextVar("PRIORITY", default=Priority.LIVE)  # of the record that a task works on


class Platform(Protocol):
    """One account on one platform. Methods raise Unavailable, or OutcomeUnknown when a write may have happened."""

    name: str

    def capabilities(self) -> Capabilities:
        """What this account can do."""

    def limits(self) -> dict[str, Any]:
        """Where this account stands: `writes_per_second` that replays may reach (None: no limit known), `paused_seconds`, `windows`."""

    async def admit(self) -> None:
        """Raise Unavailable when the platform's limits leave no room for a write of this priority soon; then nothing was sent."""

    async def probe(self) -> tuple[Drift, ...]:
        """Compare the live system with the profile; changes nothing there."""

    async def find_patient(self, patient_key: str) -> str | None:
        """The platform's id of the client that carries our reference; None when there is none, or several."""

    async def upsert_patient(self, card: Card, external_id: str | None, *, is_new: bool = False) -> Answer:
        """Bring the card to the client known as `external_id`, else to the one found, else to a new one.

        `is_new`: a person has decided that the patient is nobody whom the platform knows by name; our reference still counts.
        """

    async def detach_patient(self, external_id: str, patient_key: str) -> Answer:
        """Take our reference and what came from this record off a client that was the wrong one; the client itself stays."""

    async def find_document(self, patient_external_id: str, document_id: str, compared_with: Upload | None) -> StoredDocument | None:
        """What the platform's record of a document says; None also when the client is gone."""

    async def put_document(self, patient_external_id: str, upload: Upload) -> Answer:
        """Write a version; an older one never overwrites a newer one."""

    async def withdraw_document(self, patient_external_id: str, document_id: str, version: str) -> Answer:
        """Take a document back; it stays on record as withdrawn."""

    async def read_back(self, patient_external_id: str, document_id: str) -> ReadBack | None:
        """Fetch the document's bytes and digest them; None when it is not there."""

    async def list_documents(self, patient_external_id: str) -> list[StoredDocument]:
        """All documents of a client that carry a reference of ours."""

    async def aclose(self) -> None:
        """Give back connections."""
