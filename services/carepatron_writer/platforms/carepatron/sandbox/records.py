"""What the sandbox remembers: contacts, documents with all their versions, idempotency keys, effects. Changes go through `apply` only."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from services.carepatron_writer.platforms.carepatron.sandbox.journal import Journal

SORTED = orjson.OPT_SORT_KEYS


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
    documents: "dict[str, Document]" = field(default_factory=dict)

    @property
    def etag(self) -> str:
        """Changes with every change of the contact."""
        return f'"{self.revision}"'

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
class Document:
    """A document of one contact: versions, the highest last, and whether it was taken back."""

    id: str
    contact_id: str
    versions: list[Version]
    updated_at: str
    highest: str  # of versions and withdrawals
    is_withdrawn: bool = False
    withdraw_reason: str | None = None

    @property
    def current(self) -> Version:
        """The version on top."""
        return self.versions[-1]

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


def digest_of(value: Any) -> str:
    """Digest of a JSON value, independent of the order of its keys."""
    return hashlib.sha256(orjson.dumps(value, option=SORTED)).hexdigest()


class Records:
    """Everything, in memory, rebuilt from the journal at start."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.contacts: dict[str, Contact] = {}
        self.effects: list[dict[str, Any]] = []
        self.keys: dict[tuple[str, str], tuple[str, str, str]] = {}  # account and key: digest of the payload, contact, time
        self._found_by: dict[tuple[str, ...], dict[str, None]] = {}
        for change in journal.replay():
            self._apply(change)

    def record(self, change: dict[str, Any]) -> None:
        """Make a change durable, then visible."""
        self.journal.append(change)
        self._apply(change)

    def contact(self, account: str, contact_id: str) -> Contact | None:
        """A contact of an account."""
        found = self.contacts.get(contact_id)
        return found if found is not None and found.account == account else None

    def search(self, account: str, criteria: Iterable[Mapping[str, Any]]) -> list[Contact]:
        """Contacts that match any of the criteria, those of the first criterion first."""
        found: dict[str, None] = {}
        for one in criteria:
            found.update(self._found_by.get((account, *_place_of(one)), {}))
        return [self.contacts[key] for key in found]

    def state_hash(self) -> str:
        """Hash of the final state: no order, no time, no id that we invented, no e-mail (it is set once, by whichever event came first)."""
        lines = []
        for contact in self.contacts.values():
            names = sorted(f"{one['system']}|{one['value']}" for one in contact.body.get("externalReferences", ()))
            body = {key: value for key, value in contact.body.items() if key not in ("email", "externalReferences")}
            lines.append(f"contact|{names}|{contact.status}|{digest_of(body)}")
            lines += [
                f"document|{key}|{one.current.version}|{one.current.digest}|{one.is_withdrawn}" for key, one in contact.documents.items()
            ]
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()

    def _apply(self, change: dict[str, Any]) -> None:
        match change["kind"]:
            case "contact":
                self._apply_contact(change)
            case "document":
                self._apply_document(change)
            case "withdrawal":
                self._apply_withdrawal(change)

    def _apply_contact(self, change: dict[str, Any]) -> None:
        known = self.contacts.get(change["id"])
        if known is None:
            known = Contact(change["id"], change["account"], change["body"], 1, change["at"], change["at"])
            self.contacts[known.id] = known
        else:
            self._index(known, is_there=False)
            known.body, known.revision, known.updated_at = change["body"], known.revision + 1, change["at"]
        known.status, known.merged_into = change["status"], change["merged_into"]
        self._index(known, is_there=True)
        if change.get("key"):
            self.keys[known.account, change["key"]] = (change["payload"], known.id, change["at"])
        names = [one["value"] for one in known.body.get("externalReferences", ())]
        self._note("contact", names[0] if names else known.id, str(known.revision), digest_of(known.body), change["at"])

    def _apply_document(self, change: dict[str, Any]) -> None:
        metadata = change["metadata"]
        version = Version(metadata, change["digest"], change["position"], change["at"])
        documents = self.contacts[change["contact"]].documents
        known = documents.get(metadata["externalId"])
        if known is None:
            documents[metadata["externalId"]] = Document(change["id"], change["contact"], [version], change["at"], version.version)
        else:
            known.versions.append(version)
            known.updated_at, known.highest = change["at"], version.version
            known.is_withdrawn, known.withdraw_reason = False, None
        self._note("document", metadata["externalId"], version.version, version.digest, change["at"])

    def _apply_withdrawal(self, change: dict[str, Any]) -> None:
        known = self.contacts[change["contact"]].documents[change["external_id"]]
        known.is_withdrawn, known.withdraw_reason = True, change["reason"]
        known.highest, known.updated_at = max(known.highest, change["version"]), change["at"]
        self._note("withdrawal", change["external_id"], change["version"], known.current.digest, change["at"])

    def _note(self, kind: str, external_id: str, version: str, digest: str, at: str) -> None:
        seq = len(self.effects) + 1
        self.effects.append({"seq": seq, "kind": kind, "externalId": external_id, "version": version, "digest": digest, "at": at})

    def _index(self, contact: Contact, *, is_there: bool) -> None:
        body = contact.body
        criteria: list[Mapping[str, Any]] = [{"externalReference": one} for one in body.get("externalReferences", ())]
        criteria += [{"email": body.get("email")}, {"firstName": body["firstName"], "lastName": body["lastName"]}]
        for one in criteria:
            place = _place_of(one)
            if place[-1]:
                entry = self._found_by.setdefault((contact.account, *place), {})
                if is_there:
                    entry[contact.id] = None
                else:
                    entry.pop(contact.id, None)


def _place_of(criterion: Mapping[str, Any]) -> tuple[str, ...]:
    """Where contacts that match a criterion are listed."""
    if "externalReference" in criterion:
        return "reference", criterion["externalReference"]["system"], criterion["externalReference"]["value"]
    if "email" in criterion:
        return "email", (criterion["email"] or "").strip().casefold()
    return "name", criterion["firstName"].strip().casefold(), criterion["lastName"].strip().casefold()
