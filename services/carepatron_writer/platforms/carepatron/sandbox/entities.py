"""What the sandbox keeps: contacts, documents with their versions, shares, exports."""

from dataclasses import dataclass, field
from typing import Any

from services.carepatron_writer.platforms.carepatron.sandbox.clock import seconds_of, text_of


@dataclass(slots=True)
class Contact:
    """A client or another contact."""

    id: str
    account: str  # the provider id of the path
    body: dict[str, Any]
    revision: int
    created_at: str
    updated_at: str
    status: str = "active"
    merged_into: str | None = None
    documents: "dict[str, Document]" = field(default_factory=dict)  # by our reference; by their own id where made by POST

    @property
    def etag(self) -> str:
        """Changes with every change of the contact."""
        return f'"{self.revision}"'

    @property
    def name(self) -> str:
        """How effects name the contact: its first external reference, else its id."""
        references = self.body.get("externalReferences", ())
        return str(references[0]["value"]) if references else self.id

    def as_json(self) -> dict[str, Any]:
        """The contact as the contract shows it."""
        known = {"id": self.id, **self.body, "status": self.status, "mergedInto": self.merged_into}
        return {**known, "createdAt": self.created_at, "updatedAt": self.updated_at}


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a document, and where its bytes lie."""

    metadata: dict[str, Any]
    digest: str
    position: int
    at: str

    @property
    def version(self) -> str:
        """As the sender counts."""
        return str(self.metadata["sourceVersion"])


@dataclass(slots=True)
class Share:
    """Somebody who may see a document."""

    id: str
    kind: str  # client, staff, contact
    whom: str
    created_at: str
    expires_at: str | None

    def as_json(self, document_id: str) -> dict[str, Any]:
        """The share as the contract shows it."""
        whom = {"kind": self.kind, "id": self.whom}
        return {"id": self.id, "documentId": document_id, "with": whom, "expiresAt": self.expires_at, "createdAt": self.created_at}


@dataclass(slots=True)
class Document:
    """A document of one contact: versions, the last on top, and whether it was taken back."""

    id: str
    contact_id: str
    versions: list[Version]
    updated_at: str
    highest: str  # of versions and withdrawals
    is_plain: bool = False  # made by POST: known by its own id only
    is_withdrawn: bool = False
    withdraw_reason: str | None = None
    shares: dict[str, Share] = field(default_factory=dict)

    @property
    def current(self) -> Version:
        """The version on top."""
        return self.versions[-1]

    @property
    def key(self) -> str:
        """How the document is found at its contact."""
        return self.id if self.is_plain else self.external_id

    @property
    def external_id(self) -> str:
        """The sender's reference."""
        return str(self.current.metadata["externalId"])

    def as_json(self) -> dict[str, Any]:
        """The document as the contract shows it."""
        return {
            **self.current.metadata,
            "id": self.id,
            "contactId": self.contact_id,
            "versionCount": len(self.versions),
            "isWithdrawn": self.is_withdrawn,
            "withdrawReason": self.withdraw_reason,
            "createdAt": self.versions[0].at,
            "updatedAt": self.updated_at,
        }


@dataclass(frozen=True, slots=True)
class Export:
    """A job that writes all contacts of an account into a file. What it will come to is settled when it starts."""

    id: str
    account: str
    created_at: str
    position: int
    size: int
    queued_seconds: float
    running_seconds: float
    life_seconds: float
    fails: bool

    def status(self, now: float) -> str:
        """queued, running, then completed or failed; expired when its file is no longer kept."""
        age = now - seconds_of(self.created_at)
        if age < self.queued_seconds:
            return "queued"
        if age < self.queued_seconds + self.running_seconds:
            return "running"
        if age >= self.queued_seconds + self.running_seconds + self.life_seconds:
            return "expired"
        return "failed" if self.fails else "completed"

    def as_json(self, now: float, url: str) -> dict[str, Any]:
        """The job as the contract shows it; `url` is where it stands."""
        status = self.status(now)
        is_there = status == "completed"
        end = seconds_of(self.created_at) + self.queued_seconds + self.running_seconds + self.life_seconds
        return {
            "id": self.id,
            "status": status,
            "downloadUrl": f"{url}/download" if is_there else None,
            "expiresAt": text_of(end) if is_there else None,
            "createdAt": self.created_at,
        }
