"""What the writer needs of a platform, whichever it is: values in, values out; an outage is an exception, nothing else is."""

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Created:
    """New on the platform."""

    external_id: str


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


@dataclass(frozen=True, slots=True)
class Rejected:
    """The platform said no for good."""

    reason: Reason
    where: str | None = None


Answer = Created | Updated | Unchanged | Stale | Conflict | Parked | Rejected


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
    evidence: str


class Platform(Protocol):
    """One account on one platform. Methods raise Unavailable, or OutcomeUnknown when a write may have happened."""

    name: str

    def capabilities(self) -> Capabilities:
        """What this account can do."""

    async def upsert_patient(self, card: Card, external_id: str | None) -> Answer:
        """Bring the card to the client known as `external_id`, else to the one found, else to a new one."""

    async def find_patient(self, patient_key: str) -> str | None:
        """The platform's id of the client that carries our reference."""

    async def put_document(self, patient_external_id: str, upload: Upload) -> Answer:
        """Write a version; an older one never overwrites a newer one."""

    async def withdraw_document(self, patient_external_id: str, document_id: str, version: str) -> Answer:
        """Take a document back; it stays on record as withdrawn."""

    async def find_document(self, patient_external_id: str, document_id: str, compared_with: Upload | None) -> StoredDocument | None:
        """Read back what the platform has."""

    async def aclose(self) -> None:
        """Give back connections."""
