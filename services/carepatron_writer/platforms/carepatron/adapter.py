"""The port over the modelled Carepatron contract: clients found before they are made, documents written by reference and version."""

import asyncio
import re
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote
from weakref import WeakValueDictionary

import orjson

from services.carepatron_writer.platforms.carepatron.answers import Retry
from services.carepatron_writer.platforms.carepatron.client import CarepatronClient, Reply
from services.carepatron_writer.platforms.carepatron.matching import changed_contact, choose, fold, new_contact, reference
from services.carepatron_writer.platforms.port import (
    Answer,
    Capabilities,
    Card,
    Created,
    Parked,
    Rejected,
    StoredDocument,
    Unchanged,
    Updated,
    Upload,
)
from services.carepatron_writer.platforms.profile import Profile
from shared.identity import digest
from shared.outcomes import Reason

ROUNDS = 5  # tries against somebody who changes the same client
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class Carepatron:
    """One account. Keeps the promises of `platforms.port.Platform`."""

    name = "carepatron"

    def __init__(self, client: CarepatronClient, profile: Profile) -> None:
        self._client = client
        self._profile = profile
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def capabilities(self) -> Capabilities:
        """As the profile says."""
        return self._profile.capabilities

    async def aclose(self) -> None:
        """Close connections."""
        await self._client.aclose()

    async def upsert_patient(self, card: Card, external_id: str | None) -> Answer:
        """Find the client by id, else by our reference, else by name and e-mail; change it only where it differs, else create it."""
        async with AsyncExitStack() as stack:
            # two records of one person at the same time must not become two clients: one at a time for a name, and for an e-mail
            for key in sorted({fold(one) for one in (f"{card.first_name} {card.last_name}", card.email) if one}):
                await stack.enter_async_context(self._locks.setdefault(key, asyncio.Lock()))
            for _ in range(ROUNDS):
                is_found = external_id is None
                if external_id is None:
                    found = choose(card, await self._search(card))
                    if found is None:
                        return await self._create(card)
                    if found is False:
                        return Rejected(Reason.POSSIBLE_DUPLICATE)
                    external_id = found
                answer = await self._change(card, external_id)
                is_merged = isinstance(answer, Rejected) and answer.reason is Reason.CONTACT_MERGED
                if answer is not None and (is_found or not is_merged):
                    return answer
                external_id = None  # gone, merged or changed under us: look again
        raise self._client.outage(Retry.UNSENT, "the client keeps changing", is_write=False)

    async def find_patient(self, patient_key: str) -> str | None:
        """The client with our reference; None when there is none, or several."""
        found = await self._found([{"externalReference": reference(patient_key)}])
        living = [one for one in found if one.get("status") != "merged"]
        return self._id_in(living[0]) if len(living) == 1 else None

    async def put_document(self, patient_external_id: str, upload: Upload) -> Answer:
        """PUT by reference and version."""
        if upload.media_type not in self._profile.media_types:
            return Rejected(Reason.UNSUPPORTED_MEDIA_TYPE, "content")
        if len(upload.content) > self._profile.max_bytes:
            return Rejected(Reason.CONTENT_TOO_LARGE, "content")
        boundary = f"hr-{upload.sha256}"
        head, tail = _form(metadata_of(upload), upload.media_type, boundary)
        reply = await self._client.call(
            "put_document",
            "PUT",
            _document_path(patient_external_id, upload.document_id),
            is_write=True,
            parts=(head, upload.content, tail),
            headers={"content-type": f"multipart/form-data; boundary={boundary}"},
        )
        if reply.meaning is not None:
            return self._refused(reply)
        if reply.body.get("sourceVersion") != upload.version or reply.body.get("sha256") != upload.sha256:
            raise self._client.outage(Retry.UNKNOWN, "answer about something else", is_write=True)
        external_id = self._id_in(reply.body)
        if reply.result == "unchanged":
            return Unchanged(external_id)
        return Created(external_id) if reply.said.status == 201 else Updated(external_id)

    async def withdraw_document(self, patient_external_id: str, document_id: str, version: str) -> Answer:
        """POST …/withdraw. A document that the platform never had needs no taking back."""
        reply = await self._client.call(
            "withdraw_document",
            "POST",
            f"{_document_path(patient_external_id, document_id)}/withdraw",
            is_write=True,
            json={"reason": "withdrawn-by-source", "sourceVersion": version},
        )
        if reply.said.status == 404 and reply.said.where == "/externalId":
            return Unchanged()
        if reply.meaning is not None:
            return self._refused(reply)
        external_id = self._id_in(reply.body)
        return Unchanged(external_id) if reply.result == "unchanged" else Updated(external_id)

    async def find_document(self, patient_external_id: str, document_id: str, compared_with: Upload | None) -> StoredDocument | None:
        """GET by reference; None also when the client is gone: the write that follows says so."""
        reply = await self._client.call("get_document", "GET", _document_path(patient_external_id, document_id), is_write=False)
        if reply.meaning is not None:
            return None
        body, version, count = reply.body, reply.body.get("sourceVersion"), reply.body.get("versionCount")
        if not isinstance(version, str) or not isinstance(count, int):
            raise self._client.outage(Retry.UNKNOWN, "broken answer", is_write=False)
        is_same = compared_with is not None and all(body.get(name) == value for name, value in metadata_of(compared_with).items())
        return StoredDocument(self._id_in(body), version, count, bool(body.get("isWithdrawn")), is_same)

    async def _search(self, card: Card) -> list[dict[str, Any]]:
        """Everybody who may be this patient; e-mails and names travel in the body, never in a URL."""
        criteria: list[dict[str, Any]] = [{"externalReference": reference(card.patient_key)}]
        if card.email:
            criteria.append({"email": card.email})
        return await self._found([*criteria, {"firstName": card.first_name, "lastName": card.last_name}])

    async def _found(self, criteria: list[dict[str, Any]]) -> list[dict[str, Any]]:
        reply = await self._client.call("search_contacts", "POST", "/contacts/search", is_write=False, json={"anyOf": criteria})
        items = reply.body.get("items")
        if reply.meaning is not None or not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
            raise self._client.outage(Retry.TARGET_DOWN, f"search answered {reply.said.status}", is_write=False)
        return items

    async def _create(self, card: Card) -> Answer:
        body = new_contact(card)
        key = f"{card.patient_key}-{digest(orjson.dumps(body, option=orjson.OPT_SORT_KEYS))[:16]}"
        headers = {self._profile.idempotency_header: f'"{key}"'}
        reply = await self._client.call("create_contact", "POST", "/contacts", is_write=True, json=body, headers=headers)
        return Created(self._id_in(reply.body)) if reply.meaning is None else self._refused(reply)

    async def _change(self, card: Card, external_id: str) -> Answer | None:
        """Bring a known client up to date; None when it is gone or was changed by somebody else meanwhile."""
        path = f"/contacts/{quote(external_id, safe='')}"
        reply = await self._client.call("get_contact", "GET", path, is_write=False)
        if reply.said.status == 404:
            return None
        if reply.meaning is not None:
            return self._refused(reply)
        if reply.body.get("status") == "archived":
            return Rejected(Reason.CONTACT_ARCHIVED)
        stored = reply.body
        wanted, warnings = changed_contact(card, stored, may_email=self._profile.may_email_client)
        if all(stored.get(name) == value or not (stored.get(name) or value) for name, value in wanted.items()):  # absent is empty
            return Unchanged(external_id, warnings)
        headers = {"if-match": reply.etag or "*"}
        reply = await self._client.call("replace_contact", "PUT", path, is_write=True, json=wanted, headers=headers)
        if reply.said.status == 412:
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
        "externalSystem": "urn:healthrecords:document-id",
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


def _document_path(contact_id: str, document_id: str) -> str:
    return f"/contacts/{quote(contact_id, safe='')}/documents/{quote(document_id, safe='')}"


def _form(metadata: dict[str, Any], media_type: str, boundary: str) -> tuple[bytes, bytes]:
    """What stands before and after the content in the two-part form. The boundary is the content's digest: it cannot stand in it."""
    head = (
        b'--%b\r\nContent-Disposition: form-data; name="metadata"\r\nContent-Type: application/json\r\n\r\n%b\r\n'
        b'--%b\r\nContent-Disposition: form-data; name="content"; filename="document"\r\nContent-Type: %b\r\n\r\n'
    ) % (boundary.encode(), orjson.dumps(metadata), boundary.encode(), media_type.encode())
    return head, b"\r\n--%b--\r\n" % boundary.encode()
