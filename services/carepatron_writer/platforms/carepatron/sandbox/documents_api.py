"""Documents as the contract has them: write a version, read, list, take back."""

import asyncio
import re
import uuid

from starlette.requests import Request
from starlette.responses import Response

from services.carepatron_writer.platforms.carepatron.sandbox.door import Door, page_of
from services.carepatron_writer.platforms.carepatron.sandbox.parsing import (
    MAX_BYTES,
    MEDIA_TYPES,
    TooLarge,
    Unreadable,
    check_document,
    read_document,
    read_object,
)
from services.carepatron_writer.platforms.carepatron.sandbox.problems import answer, problem
from services.carepatron_writer.platforms.carepatron.sandbox.records import Contact, Document, Records, Version, digest_of
from shared.identity import digest

THREAD_BYTES = 1 << 20  # digests of more than this are computed beside the event loop
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class DocumentsApi:
    """The handlers; `door` checks keys and paths and tells the time."""

    def __init__(self, records: Records, door: Door) -> None:
        self._records = records
        self._door = door

    async def put(self, request: Request) -> Response:
        """PUT …/documents/{externalId}"""
        contact = self._door.contact(request, is_written=True)
        if isinstance(contact, Response):
            return contact
        if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            return problem("unsupported-media-type", errors=[("/Content-Type", "must be multipart/form-data")])
        try:
            metadata, content = await read_document(request)
        except TooLarge:
            return problem("payload-too-large")
        except Unreadable:
            return problem("invalid-request")
        if len(content) > MAX_BYTES:
            return problem("payload-too-large")
        if metadata.get("contentType") not in MEDIA_TYPES:
            return problem("unsupported-media-type", errors=[("/contentType", "is not taken")])
        sha256 = digest(content) if len(content) <= THREAD_BYTES else await asyncio.to_thread(digest, content)
        errors = check_document(metadata, request.path_params["externalId"], sha256, len(content))
        if errors:
            return problem("invalid-request", status=422, errors=errors)
        return self._keep(contact, metadata["externalId"], Version(metadata, digest_of(metadata), 0, self._door.now()), content)

    async def get(self, request: Request) -> Response:
        """GET …/documents/{externalId}"""
        document = self._document(request)
        return document if isinstance(document, Response) else answer(document.as_json())

    async def content(self, request: Request) -> Response:
        """GET …/documents/{externalId}/content"""
        document = self._document(request)
        return document if isinstance(document, Response) else self.content_of(document.current, request)

    async def list(self, request: Request) -> Response:
        """GET …/documents"""
        contact = self._door.contact(request)
        if isinstance(contact, Response):
            return contact
        query = request.query_params
        words, first, last = query.get("q", "").casefold().split(), query.get("from", ""), query.get("to", "\uffff")
        found = [
            one.as_json()
            for one in contact.documents.values()
            if (query.get("includeWithdrawn") == "true" or not one.is_withdrawn)
            and query.get("type", one.current.metadata["type"]) == one.current.metadata["type"]
            and first <= (one.current.metadata.get("documentDate") or "") <= last
            and all(word in one.current.metadata["title"].casefold() for word in words)
        ]
        found.sort(key=lambda one: (one.get("documentDate") or "", one["externalId"]), reverse=True)
        return page_of(found, query.get("limit", 100), query.get("offset", 0))

    async def withdraw(self, request: Request) -> Response:
        """POST …/documents/{externalId}/withdraw"""
        document = self._document(request, is_written=True)
        if isinstance(document, Response):
            return document
        try:
            body = await read_object(request)
        except (TooLarge, Unreadable):
            return problem("invalid-request")
        version, reason = body.get("sourceVersion"), body.get("reason")
        if not isinstance(version, str) or not isinstance(reason, str):
            return problem("invalid-request", status=422, errors=[("/sourceVersion", "and /reason must be text")])
        if version < document.highest:
            return problem("stale-version", storedVersion=document.highest)
        if document.is_withdrawn:
            return answer(document.as_json(), 200, {"X-Result": "unchanged"})
        external_id = request.path_params["externalId"]
        self._records.record(
            {
                "kind": "withdrawal",
                "contact": document.contact_id,
                "external_id": external_id,
                "version": version,
                "reason": reason,
                "at": self._door.now(),
            }
        )
        return answer(document.as_json(), 200, {"X-Result": "withdrawn"})

    def content_of(self, version: Version, request: Request) -> Response:
        """The bytes of a version: whole, a range of them, or nothing new."""
        size, etag = version.metadata["size"], f'"{version.metadata["sha256"]}"'
        headers = {"ETag": etag, "Accept-Ranges": "bytes", "X-Content-Type-Options": "nosniff"}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        media_type = version.metadata["contentType"] + ("; charset=utf-8" if version.metadata["contentType"] == "text/plain" else "")
        wanted = _RANGE.fullmatch(request.headers.get("range", ""))
        if wanted is None or wanted[0] == "bytes=-":
            return Response(self._records.journal.content(version.position, size), 200, headers, media_type=media_type)
        first = int(wanted[1]) if wanted[1] else max(0, size - int(wanted[2]))
        last = min(int(wanted[2]), size - 1) if wanted[1] and wanted[2] else size - 1
        if first > last:
            return problem("invalid-request", status=416, headers={"Content-Range": f"bytes */{size}"})
        part = self._records.journal.content(version.position + first, last - first + 1)
        return Response(part, 206, {**headers, "Content-Range": f"bytes {first}-{last}/{size}"}, media_type=media_type)

    def _keep(self, contact: Contact, external_id: str, offered: Version, content: bytes) -> Response:
        """Keep a version if it is the highest. No await here: nobody comes between the comparison and the write."""
        known = contact.documents.get(external_id)
        if known is not None:
            if offered.version < known.highest:
                return problem("stale-version", storedVersion=known.highest)
            if offered.version == known.highest:
                if offered.digest == known.current.digest and not known.is_withdrawn:
                    return answer(known.as_json(), 200, {"X-Result": "unchanged"})
                return problem("version-conflict", storedVersion=known.highest)
        self._records.record(
            {
                "kind": "document",
                "contact": contact.id,
                "id": str(uuid.uuid4()),
                "metadata": offered.metadata,
                "digest": offered.digest,
                "position": self._records.journal.keep(content),
                "at": offered.at,
            }
        )
        kept = contact.documents[external_id]
        return answer(kept.as_json(), 200 if known else 201, {"X-Result": "updated" if known else "created"})

    def _document(self, request: Request, *, is_written: bool = False) -> Document | Response:
        contact = self._door.contact(request, is_written=is_written)
        if isinstance(contact, Response):
            return contact
        document = contact.documents.get(request.path_params["externalId"])
        return document if document is not None else problem("not-found", errors=[("/externalId", "no such document")])
