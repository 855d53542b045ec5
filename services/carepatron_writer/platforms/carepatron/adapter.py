"""The port over the modelled Carepatron contract: clients found before they are made, documents written by reference and version."""

import asyncio
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import orjson

from services.carepatron_writer.platforms.carepatron.contacts import changed_contact, detached_contact, new_contact
from services.carepatron_writer.platforms.http import PlatformClient, Reply, Retry
from services.carepatron_writer.platforms.matching import choose, email_reference, fold, reference
from services.carepatron_writer.platforms.port import (
    Answer,
    Capabilities,
    Card,
    Created,
    Drift,
    Parked,
    ReadBack,
    Rejected,
    StoredDocument,
    Unchanged,
    Updated,
    Upload,
)
from services.carepatron_writer.platforms.profile import Effect, Profile
from shared.identity import digest
from shared.outcomes import Reason

ROUNDS = 5  # tries against somebody who changes the same client
GONE = 410
PAGE = 100
MAX_LISTED = 100_000
SYSTEM = "urn:healthrecords:document-id"
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


@dataclass(frozen=True, slots=True)
class Merged:
    """The clinic has made one client of two; `into` is the one that stayed, where the platform tells."""

    into: str | None


class Carepatron:
    """One account. Keeps the promises of `platforms.port.Platform`."""

    name = "carepatron"

    def __init__(self, client: PlatformClient, profile: Profile) -> None:
        self._client = client
        self._profile = profile
        self._may_email = Effect.EMAIL_CLIENT in profile.allowed_effects
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def capabilities(self) -> Capabilities:
        """As the profile says."""
        return self._profile.capabilities

    def limits(self) -> dict[str, Any]:
        """Windows, and what is used of them."""
        return self._client.limits.state(self._profile.content.upload)

    async def admit(self) -> None:
        """Whether there is room for a write soon."""
        self._client.limits.check("put_document")

    async def aclose(self) -> None:
        """Close connections."""
        await self._client.aclose()

    async def probe(self) -> tuple[Drift, ...]:
        """Whether the key opens the account, and whether searching answers as described."""
        found = []
        for operation, wanted in (("secure_ping", "status"), ("search_contacts", "items")):
            body = {"anyOf": [{"externalReference": reference("probe")}], "limit": 1} if operation == "search_contacts" else None
            reply = await self._client.call(operation, json=body)
            if reply.meaning is not None or wanted not in reply.body:
                found.append(Drift(f"operations.{operation}", f"200 with {wanted}", str(reply.said.status)))
        return tuple(found)

    async def upsert_patient(self, card: Card, external_id: str | None, *, is_new: bool = False) -> Answer:
        """Find the client by id, else by our reference, else by name and e-mail; change it only where it differs, else create it."""
        async with AsyncExitStack() as stack:
            # two records of one person at the same time must not become two clients: one at a time for a name, and for an e-mail
            for key in sorted({fold(one) for one in (f"{card.first_name} {card.last_name}", card.email) if one}):
                await stack.enter_async_context(self._locks.setdefault(key, asyncio.Lock()))
            followed: set[str] = set()
            for _ in range(ROUNDS):
                if external_id is None:
                    found = choose(card, await self._search(card), is_new=is_new)
                    if found is None:
                        return await self._create(card)
                    if not isinstance(found, str):
                        return Parked(Reason.POSSIBLE_DUPLICATE, candidates=found)
                    external_id = found
                answer = await self._change(card, external_id)
                if isinstance(answer, Merged):  # by the clinic: follow it, once to each
                    if answer.into is None or answer.into in followed:
                        return Parked(Reason.CONTACT_MERGED)
                    followed.add(answer.into)
                    external_id = answer.into
                elif answer is not None:
                    return answer
                else:
                    external_id = None  # gone, or changed under us: look again
        raise self._client.outage(Retry.UNSENT, "the client keeps changing", is_write=False)

    async def detach_patient(self, external_id: str, patient_key: str) -> Answer:
        """GET, then PUT without what is marked as this record's."""
        for _ in range(ROUNDS):
            reply = await self._client.call("get_contact", {"contact": external_id})
            if reply.said.status in (404, GONE):
                return Unchanged()
            if reply.meaning is not None:
                return self._refused(reply)
            wanted = detached_contact(patient_key, reply.body)
            if all(reply.body.get(name) == value for name, value in wanted.items()):
                return Unchanged(external_id)
            headers = {"if-match": reply.etag or "*"}
            reply = await self._client.call("replace_contact", {"contact": external_id}, json=wanted, headers=headers)
            if reply.meaning is None:
                return Updated(external_id)
            if reply.meaning is not Retry.AGAIN:
                return self._refused(reply)
        raise self._client.outage(Retry.UNSENT, "the client keeps changing", is_write=False)

    async def find_patient(self, patient_key: str) -> str | None:
        """The client with our reference, or the one it was merged into; None when there is none, or several."""
        found = await self._found([{"externalReference": reference(patient_key)}])
        living = [one for one in found if one.get("status") != "merged"]
        if living or len(found) != 1:
            return self._id_in(living[0]) if len(living) == 1 else None
        into, followed = found[0].get("mergedInto"), set[str]()
        while isinstance(into, str) and into not in followed and len(followed) < ROUNDS:
            followed.add(into)
            reply = await self._client.call("get_contact", {"contact": into})
            if reply.meaning is None:
                return into
            into = reply.body.get("mergedInto") if reply.said.status == GONE else None
        return None

    async def put_document(self, patient_external_id: str, upload: Upload) -> Answer:
        """PUT by reference and version."""
        if upload.media_type not in self._profile.content.media_types:
            return Rejected(Reason.UNSUPPORTED_MEDIA_TYPE, "content")
        if len(upload.content) > self._profile.content.max_bytes:
            return Rejected(Reason.CONTENT_TOO_LARGE, "content")
        boundary = f"hr-{upload.sha256}"
        head, tail = _form(metadata_of(upload), upload.media_type, boundary)
        reply = await self._client.call(
            "put_document",
            {"contact": patient_external_id, "document": upload.document_id},
            parts=(head, upload.content, tail),
            headers={"content-type": f"multipart/form-data; boundary={boundary}"},
        )
        if reply.meaning is not None:
            return self._refused(reply)
        if reply.body.get("sourceVersion") != upload.version or reply.body.get("sha256") != upload.sha256:
            raise self._client.outage(Retry.UNKNOWN, "answer about something else", is_write=True)
        external_id = self._id_in(reply.body)
        if reply.headers.get("x-result") == "unchanged":
            return Unchanged(external_id)
        return Created(external_id) if reply.said.status == 201 else Updated(external_id)

    async def withdraw_document(self, patient_external_id: str, document_id: str, version: str) -> Answer:
        """POST …/withdraw. A document that the platform never had needs no taking back."""
        reply = await self._client.call(
            "withdraw_document",
            {"contact": patient_external_id, "document": document_id},
            json={"reason": "withdrawn-by-source", "sourceVersion": version},
        )
        if reply.said.status == 404 and reply.said.where == "/externalId":
            return Unchanged()
        if reply.meaning is not None:
            return self._refused(reply)
        external_id = self._id_in(reply.body)
        return Unchanged(external_id) if reply.headers.get("x-result") == "unchanged" else Updated(external_id)

    async def find_document(self, patient_external_id: str, document_id: str, compared_with: Upload | None) -> StoredDocument | None:
        """GET by reference; None also when the client is gone: the write that follows says so."""
        reply = await self._client.call("get_document", {"contact": patient_external_id, "document": document_id})
        if reply.meaning is not None:
            return None
        wanted = None if compared_with is None else metadata_of(compared_with)
        return self._stored(reply.body, is_same=wanted is not None and all(reply.body.get(name) == value for name, value in wanted.items()))

    async def read_back(self, patient_external_id: str, document_id: str) -> ReadBack | None:
        """GET the record, then the bytes."""
        stored = await self.find_document(patient_external_id, document_id, None)
        if stored is None:
            return None
        reply = await self._client.call("get_content", {"contact": patient_external_id, "document": document_id})
        if reply.meaning is not None:
            return None
        return ReadBack(stored.external_id, stored.version, digest(reply.data), len(reply.data), stored.is_withdrawn)

    async def list_documents(self, patient_external_id: str) -> list[StoredDocument]:
        """GET …/documents, page by page; those of others are left out."""
        found: list[StoredDocument] = []
        for offset in range(0, MAX_LISTED, PAGE):
            reply = await self._client.call(
                "list_documents",
                {"contact": patient_external_id},
                params={"includeWithdrawn": "true", "limit": str(PAGE), "offset": str(offset)},
            )
            items = reply.body.get("items")
            if reply.said.status in (404, GONE):
                return []
            if reply.meaning is not None or not isinstance(items, list):
                raise self._client.outage(Retry.UNKNOWN, f"list answered {reply.said.status}", is_write=False)
            found += [self._stored(one, is_same=False) for one in items if isinstance(one, dict) and one.get("externalSystem") == SYSTEM]
            if len(items) < PAGE:
                break
        return found

    def _stored(self, body: dict[str, Any], *, is_same: bool) -> StoredDocument:
        version, count = body.get("sourceVersion"), body.get("versionCount")
        if not isinstance(version, str) or not isinstance(count, int):
            raise self._client.outage(Retry.UNKNOWN, "broken answer", is_write=False)
        return StoredDocument(
            self._id_in(body), version, count, bool(body.get("isWithdrawn")), is_same, str(body.get("externalId")), body.get("sha256")
        )

    async def _search(self, card: Card) -> list[dict[str, Any]]:
        """Everybody who may be this patient; e-mails and names travel in the body, never in a URL."""
        criteria: list[dict[str, Any]] = [{"externalReference": reference(card.patient_key)}]
        if card.email:
            criteria += [{"email": card.email}, {"externalReference": email_reference(card.email)}]
        return await self._found([*criteria, {"firstName": card.first_name, "lastName": card.last_name}])

    async def _found(self, criteria: list[dict[str, Any]]) -> list[dict[str, Any]]:
        reply = await self._client.call("search_contacts", json={"anyOf": criteria})
        items = reply.body.get("items")
        if reply.meaning is not None or not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
            raise self._client.outage(Retry.TARGET_DOWN, f"search answered {reply.said.status}", is_write=False)
        return items

    async def _create(self, card: Card) -> Answer:
        body = new_contact(card, may_email=self._may_email)
        key = f"{card.patient_key}-{digest(orjson.dumps(body, option=orjson.OPT_SORT_KEYS))[:16]}"
        idempotency = self._profile.idempotency
        headers = {idempotency.header: f'"{key}"'} if idempotency else {}
        effects = (Effect.EMAIL_CLIENT,) if body["email"] else ()
        reply = await self._client.call("create_contact", json=body, headers=headers, effects=effects)
        if reply.meaning is not None:
            return self._refused(reply)
        return Created(self._id_in(reply.body), ("email_not_set",) if card.email and not body["email"] else ())

    async def _change(self, card: Card, external_id: str) -> "Answer | Merged | None":
        """Bring a known client up to date; None when it is gone or was changed by somebody else meanwhile."""
        reply = await self._client.call("get_contact", {"contact": external_id})
        if reply.said.status == 404:
            return None
        if reply.said.status == GONE:
            into = reply.body.get("mergedInto")
            return Merged(into if isinstance(into, str) and _ID.fullmatch(into) else None)
        if reply.meaning is not None:
            return self._refused(reply)
        stored = reply.body
        if stored.get("status") == "archived":
            return Parked(Reason.CONTACT_ARCHIVED)
        wanted, warnings = changed_contact(card, stored, may_email=self._may_email)
        if all(stored.get(name) == value or not (stored.get(name) or value) for name, value in wanted.items()):  # absent is empty
            return Unchanged(external_id, warnings)
        effects = (Effect.EMAIL_CLIENT,) if wanted.get("email") != stored.get("email") else ()
        headers = {"if-match": reply.etag or "*"}
        reply = await self._client.call("replace_contact", {"contact": external_id}, json=wanted, headers=headers, effects=effects)
        if reply.meaning is Retry.AGAIN:
            return None
        return Updated(external_id, warnings) if reply.meaning is None else self._refused(reply)

    def _refused(self, reply: Reply) -> Answer:
        """The value of a refusal. Raises OutcomeUnknown where only reading can tell."""
        if reply.meaning is None or isinstance(reply.meaning, Retry):
            raise self._client.outage(Retry.UNKNOWN, str(reply.said.status), is_write=True)
        if isinstance(reply.meaning, Parked) and reply.said.status == 404:
            return Parked(Reason.CONTACT_MISSING, "/contactId")
        return reply.meaning

    def _id_in(self, body: dict[str, Any]) -> str:
        """The platform's id. Raises OutcomeUnknown for an answer without a usable one."""
        found = body.get("id")
        if not isinstance(found, str) or not _ID.fullmatch(found):
            raise self._client.outage(Retry.UNKNOWN, "answer without an id", is_write=True)
        return found


def metadata_of(upload: Upload) -> dict[str, Any]:
    """The metadata of the contract."""
    return {
        "externalId": upload.document_id,
        "externalSystem": SYSTEM,
        "sourceVersion": upload.version,
        "type": upload.type,
        "typeCoding": upload.type_coding,
        "title": upload.title,
        "documentDate": upload.date,
        "authors": list(upload.authors),
        "source": upload.source,
        "status": upload.status,
        "contentType": upload.media_type,
        "size": len(upload.content),
        "sha256": upload.sha256,
        "supersedes": upload.supersedes,
        "summary": {"dietary": list(upload.dietary), "abnormal": list(upload.abnormal)},
        "visibility": "staff",
    }


def _form(metadata: dict[str, Any], media_type: str, boundary: str) -> tuple[bytes, bytes]:
    """What stands before and after the content in the two-part form. The boundary is the content's digest: it cannot stand in it."""
    head = (
        b'--%b\r\nContent-Disposition: form-data; name="metadata"\r\nContent-Type: application/json\r\n\r\n%b\r\n'
        b'--%b\r\nContent-Disposition: form-data; name="content"; filename="document"\r\nContent-Type: %b\r\n\r\n'
    ) % (boundary.encode(), orjson.dumps(metadata), boundary.encode(), media_type.encode())
    return head, b"\r\n--%b--\r\n" % boundary.encode()
