"""Documents on a FHIR server, read: by our identifier, by patient, and their content."""

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from services.carepatron_writer.platforms.fhir_r4.account import Account
from services.carepatron_writer.platforms.fhir_r4.elements import Json
from services.carepatron_writer.platforms.fhir_r4.heads import DOCUMENT_SYSTEM, HEAD_ELEMENTS, Head, binary_behind, head_of
from services.carepatron_writer.platforms.fhir_r4.resources import facts_of
from services.carepatron_writer.platforms.fhir_r4.wire import Resource
from services.carepatron_writer.platforms.http import Retry
from services.carepatron_writer.platforms.port import ReadBack, StoredDocument, Upload
from shared.identity import digest

PAGE = "50"


def newest(heads: Sequence[Head]) -> Head | None:
    """The head that counts: the highest version."""
    return max(heads, key=lambda one: (one.version, one.count), default=None)


def is_ambiguous(heads: Sequence[Head], *, is_in_place: bool) -> bool:
    """Whether a person has to look: two of one version, two whose order nobody knows, two that are shown where one is changed in place."""
    if len(heads) < 2:
        return False
    versions = {one.version for one in heads}
    if "" in versions or len(versions) < len(heads):
        return True
    last = newest(heads)
    return is_in_place and any(one.status == "current" for one in heads if one is not last)


class Documents:
    """One account's documents, as they stand there. Raises Unavailable."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._wire = account.wire

    async def heads(self, document_id: str) -> list[Head]:
        """All that carry our identity of a document: none, one, or one for each version where versions replace each other."""
        found = await self._wire.search("find_documents", {**_identified(document_id), "_elements": HEAD_ELEMENTS}, "DocumentReference")
        # a stale index may name others: what the resource says counts
        return [head for head in map(head_of, found) if head is not None and head.document_id == document_id]

    async def head(self, found_id: str) -> Head | None:
        """One of them read by its id: never out of date, as an index may be."""
        found = await self._wire.read("read_document", found_id, {"_elements": HEAD_ELEMENTS})
        return head_of(found.body, found.etag) if isinstance(found, Resource) else None

    async def find(self, patient: str, document_id: str, compared_with: Upload | None) -> StoredDocument | None:
        """What the newest head says."""
        head = newest([one for one in await self.heads(document_id) if one.patient == patient])
        return stored_document(head, compared_with) if head is not None else None

    async def listed(self, patient: str) -> list[StoredDocument]:
        """The newest head of each document of ours."""
        params = {"patient": f"Patient/{patient}", "_elements": HEAD_ELEMENTS, "_count": PAGE}
        heads: dict[str, list[Head]] = {}
        for resource in await self._wire.search("find_documents", params, "DocumentReference"):
            head = head_of(resource)
            if head is not None and head.document_id is not None:
                heads.setdefault(head.document_id, []).append(head)
        return [stored_document(head, None) for head in map(newest, heads.values()) if head is not None]

    async def read_back(self, patient: str, document_id: str) -> ReadBack | None:
        """GET the reference, then the bytes behind it."""
        head = newest([one for one in await self.heads(document_id) if one.patient == patient])
        found = await self._wire.read("read_document", head.id) if head is not None else None
        if head is None or not isinstance(found, Resource):
            return None
        head = head_of(found.body, found.etag) or head
        content = await self._content(found.body)
        if content is None:
            return None
        return ReadBack(head.id, head.version, digest(content), len(content), head.is_withdrawn)

    async def _content(self, document: Mapping[str, Any]) -> bytes | None:
        """The bytes of the first attachment: inline, or of its Binary; None when the Binary is not there."""
        attachment = next((one.get("attachment") or {} for one in document.get("content") or ()), {})
        if isinstance(attachment.get("data"), str):
            return self._decoded(attachment["data"])
        found_id = binary_behind(attachment)
        if found_id is None:
            return b""
        accept = {"accept": str(attachment.get("contentType") or "*/*")}
        reply = await self._wire.client.call("read_binary", {"id": found_id}, headers=accept)
        if reply.meaning is not None:
            return None
        if "json" in reply.headers.get("content-type", "") and "json" not in accept["accept"]:
            return self._unwrapped(reply.data)  # servers may give a Binary as a resource whatever was asked for (seen)
        return reply.data

    def _unwrapped(self, data: bytes) -> bytes:
        try:
            body: Json = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise self._account.wire.client.outage(Retry.UNKNOWN, "broken answer", is_write=False) from None
        return self._decoded(str(body.get("data") or "")) if body.get("resourceType") == "Binary" else data

    def _decoded(self, text: str) -> bytes:
        try:
            return b64decode("".join(text.split()), validate=True)
        except (NotBase64, ValueError):
            raise self._account.wire.client.outage(Retry.UNKNOWN, "broken answer", is_write=False) from None


def stored_document(head: Head, compared_with: Upload | None) -> StoredDocument:
    """A head as the writer knows documents."""
    is_same = compared_with is not None and is_same_as(head, compared_with) and not head.is_withdrawn
    return StoredDocument(head.id, head.version, head.count, head.is_withdrawn, is_same, head.document_id, head.sha256)


def is_same_as(head: Head, upload: Upload) -> bool:
    """Whether version, facts and bytes are those of the upload; by digests, as servers may rewrite what they show."""
    return (head.version, head.facts, head.sha256) == (upload.version, facts_of(upload), upload.sha256)


def _identified(document_id: str) -> dict[str, str]:
    return {"identifier": f"{DOCUMENT_SYSTEM}|{document_id}"}
