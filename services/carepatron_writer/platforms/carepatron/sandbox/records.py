"""What the sandbox remembers: contacts, documents, shares, exports, idempotency keys, effects, mails. Changes go through `record` only."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from services.carepatron_writer.platforms.carepatron.sandbox.entities import Contact, Document, Export, Share, Version
from services.carepatron_writer.platforms.carepatron.sandbox.index import Index
from services.carepatron_writer.platforms.carepatron.sandbox.journal import Journal

__all__ = ["Contact", "Document", "Export", "Records", "Remembered", "Share", "Version", "digest_of"]

SORTED = orjson.OPT_SORT_KEYS
NOT_HASHED = ("email", "externalReferences")


@dataclass(frozen=True, slots=True)
class Remembered:
    """An idempotency key: what it was used for, and what came of it."""

    payload: str  # digest of what was asked
    made: str  # id of what was made
    at: str


def digest_of(value: Any) -> str:
    """Digest of a JSON value, independent of the order of its keys."""
    return hashlib.sha256(orjson.dumps(value, option=SORTED)).hexdigest()


class Records:
    """Everything, in memory, rebuilt from the journal at start."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.contacts: dict[str, Contact] = {}
        self.exports: dict[str, Export] = {}
        self.effects: list[dict[str, Any]] = []
        self.mails: list[dict[str, Any]] = []  # what the platform would have written to people
        self.keys: dict[tuple[str, str], Remembered] = {}  # by account and idempotency key
        self.used_bytes: Counter[str] = Counter()  # by account; every version counts, as nothing is deleted
        self._index = Index()
        for change in journal.replay():
            self._apply(change)

    def record(self, change: dict[str, Any]) -> None:
        """Make a change durable, then visible. Raises Full when the disk is; then nothing has changed."""
        self.journal.append(change)
        self._apply(change)

    def contact(self, account: str, contact_id: str) -> Contact | None:
        """A contact of an account."""
        found = self.contacts.get(contact_id)
        return found if found is not None and found.account == account else None

    def search(self, account: str, criteria: Iterable[Mapping[str, Any]]) -> list[Contact]:
        """Contacts that match any of the criteria, those of the first criterion first."""
        return [self.contacts[key] for key in self._index.search(account, criteria)]

    def state_hash(self) -> str:
        """Hash of the final state: no order, no time, no id that we invented, no e-mail (it is set once, by whichever event came first)."""
        lines = []
        for contact in self.contacts.values():
            names = sorted(f"{one['system']}|{one['value']}" for one in contact.body.get("externalReferences", ()))
            body = {key: value for key, value in contact.body.items() if key not in NOT_HASHED}
            lines.append(f"contact|{names}|{contact.status}|{digest_of(body)}")
            for one in contact.documents.values():
                lines.append(f"document|{one.external_id}|{one.current.version}|{one.current.digest}|{one.is_withdrawn}")
                lines += [f"share|{one.external_id}|{share.kind}" for share in one.shares.values()]
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()

    def _apply(self, change: dict[str, Any]) -> None:
        made = ""
        match change["kind"]:
            case "contact":
                made = self._apply_contact(change)
            case "document":
                made = self._apply_document(change)
            case "withdrawal":
                self._apply_withdrawal(change)
            case "merge":
                self._apply_merge(change)
            case "share":
                made = self._apply_share(change)
            case "unshare":
                self._apply_unshare(change)
            case "export":
                made = self._apply_export(change)
            case "export-deleted":
                del self.exports[change["id"]]
        if change.get("key"):
            self.keys[change["account"], change["key"]] = Remembered(change["payload"], made, change["at"])

    def _apply_contact(self, change: dict[str, Any]) -> str:
        known, body = self.contacts.get(change["id"]), change["body"]
        email = known.body.get("email") if known else None
        if known is None:
            known = Contact(change["id"], change["account"], body, 1, change["at"], change["at"])
            self.contacts[known.id] = known
        else:
            self._index.remove(known)
            known.body, known.revision, known.updated_at = body, known.revision + 1, change["at"]
        known.status, known.merged_into = change["status"], change["merged_into"]
        self._index.add(known)
        self._note("contact", known.name, str(known.revision), digest_of(body), change["at"])
        if body.get("email") and body["email"] != email and body.get("isClient", True):
            self._mail("document-sync", known, change["at"])
        return known.id

    def _apply_document(self, change: dict[str, Any]) -> str:
        metadata, contact = change["metadata"], self.contacts[change["contact"]]
        version = Version(metadata, change["digest"], change["position"], change["at"])
        is_plain = change.get("is_plain", False)
        known = contact.documents.get(change["id"] if is_plain else metadata["externalId"])
        if known is None:
            known = Document(change["id"], contact.id, [version], change["at"], version.version, is_plain)
            contact.documents[known.key] = known
        else:
            known.versions.append(version)
            known.updated_at, known.highest = change["at"], version.version
            known.is_withdrawn, known.withdraw_reason = False, None
        self.used_bytes[contact.account] += metadata["size"]
        self._note("document", metadata["externalId"], version.version, version.digest, change["at"])
        return known.id

    def _apply_withdrawal(self, change: dict[str, Any]) -> None:
        known = self.contacts[change["contact"]].documents[change["external_id"]]
        known.is_withdrawn, known.withdraw_reason = True, change["reason"]
        known.highest, known.updated_at = max(known.highest, change["version"]), change["at"]
        known.shares.clear()  # nobody sees what was taken back
        self._note("withdrawal", known.external_id, change["version"], known.current.digest, change["at"])

    def _apply_merge(self, change: dict[str, Any]) -> None:
        gone, stays = self.contacts[change["id"]], self.contacts[change["into"]]
        gone.status, gone.merged_into, gone.updated_at, gone.revision = "merged", stays.id, change["at"], gone.revision + 1
        self._note("merge", gone.name, str(gone.revision), digest_of(gone.body), change["at"])
        if not change["moves"]:
            return
        self._index.remove(stays)
        references = stays.body.get("externalReferences", [])
        added = [one for one in gone.body.get("externalReferences", ()) if one not in references]
        stays.body = {**stays.body, "externalReferences": references + added}
        stays.revision, stays.updated_at = stays.revision + 1, change["at"]
        self._index.add(stays)
        for document in gone.documents.values():
            document.contact_id = stays.id
            known = stays.documents.get(document.key)
            if known is not None and known.highest > document.highest:
                document, known = known, document
            if known is not None:  # one reference, two documents: the older one keeps its own id only
                known.is_plain = True
                stays.documents[known.key] = known
            stays.documents[document.key] = document
        gone.documents = {}

    def _apply_share(self, change: dict[str, Any]) -> str:
        contact = self.contacts[change["contact"]]
        document = contact.documents[change["document"]]
        document.shares[change["id"]] = Share(change["id"], change["with"], change["whom"], change["at"], change["expires_at"])
        self._note("share", document.external_id, document.highest, document.current.digest, change["at"], reaches=change["with"])
        if change["with"] != "staff":
            self._mail("share", contact if change["with"] == "client" else self.contacts[change["whom"]], change["at"])
        return str(change["id"])

    def _apply_unshare(self, change: dict[str, Any]) -> None:
        document = self.contacts[change["contact"]].documents[change["document"]]
        share = document.shares.pop(change["id"])
        self._note("unshare", document.external_id, document.highest, document.current.digest, change["at"], reaches=share.kind)

    def _apply_export(self, change: dict[str, Any]) -> str:
        names = Export.__dataclass_fields__
        made = Export(created_at=change["at"], **{name: change[name] for name in names if name != "created_at"})
        self.exports[made.id] = made
        self._note("export", made.id, "1", "", change["at"])
        return made.id

    def _note(self, kind: str, external_id: str, version: str, digest: str, at: str, **more: str) -> None:
        seq = len(self.effects) + 1
        self.effects.append({"seq": seq, "kind": kind, "externalId": external_id, "version": version, "digest": digest, "at": at, **more})

    def _mail(self, kind: str, contact: Contact, at: str) -> None:
        to = contact.body.get("email")
        self.mails.append({"seq": len(self.mails) + 1, "kind": kind, "contactId": contact.id, "to": to, "at": at})
