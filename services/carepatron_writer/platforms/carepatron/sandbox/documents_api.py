"""Documents as the contract has them: write a version by our reference, read, list, take back."""

import uuid

from starlette.requests import Request
from starlette.responses import Response

from services.carepatron_writer.platforms.carepatron.sandbox.checks import is_date, is_text
from services.carepatron_writer.platforms.carepatron.sandbox.door import Door, page_of
from services.carepatron_writer.platforms.carepatron.sandbox.parsing import read_json
from services.carepatron_writer.platforms.carepatron.sandbox.problems import answer, problem
from services.carepatron_writer.platforms.carepatron.sandbox.ranges import serve_bytes
from services.carepatron_writer.platforms.carepatron.sandbox.records import Contact, Document, Records, Version
from services.carepatron_writer.platforms.carepatron.sandbox.refusals import read_or_refuse
from services.carepatron_writer.platforms.carepatron.sandbox.uploads import Upload, Uploads

LAST_DAY = "9999-99-99"


class DocumentsApi:
    """The handlers; `door` checks keys and paths and tells the time."""

    def __init__(self, records: Records, door: Door, uploads: Uploads) -> None:
        self._records = records
        self._door = door
        self._uploads = uploads

    async def put(self, request: Request) -> Response:
        """PUT …/documents/{externalId}"""
        contact = self._door.contact(request, is_written=True)
        if isinstance(contact, Response):
            return contact
        if not self._door.switches.upsert:
            return problem("not-found")
        upload = await self._uploads.read(request, request.path_params["externalId"])
        return upload if isinstance(upload, Response) else self._keep(contact, upload)

    async def get(self, request: Request) -> Response:
        """GET …/documents/{externalId}"""
        document = self._door.document(request)
        return document if isinstance(document, Response) else answer(document.as_json())

    async def content(self, request: Request) -> Response:
        """GET …/documents/{externalId}/content"""
        document = self._door.document(request)
        return document if isinstance(document, Response) else self.content_of(document.current, request)

    async def list(self, request: Request) -> Response:
        """GET …/documents, the newest first. A date without a day counts for all of its days."""
        contact = self._door.contact(request)
        if isinstance(contact, Response):
            return contact
        query = request.query_params
        errors = [(f"/{name}", "must be a date") for name in ("from", "to") if name in query and not is_date(query[name])]
        if query.get("includeWithdrawn", "true") not in ("true", "false"):
            errors.append(("/includeWithdrawn", "must be true or false"))
        if errors:
            return problem("invalid-request", errors=errors)
        first, last, words = query.get("from", ""), query.get("to", LAST_DAY), query.get("q", "").casefold().split()
        is_bounded = "from" in query or "to" in query
        found = [
            one
            for one in contact.documents.values()
            if (query.get("includeWithdrawn") == "true" or not one.is_withdrawn)
            and query.get("type", one.current.metadata["type"]) == one.current.metadata["type"]
            and (not is_bounded or _is_between(one, first, last))
            and all(word in one.current.metadata["title"].casefold() for word in words)
        ]
        found.sort(key=lambda one: (_date_of(one), one.external_id, one.id), reverse=True)
        return page_of(found, query.get("limit"), query.get("offset"))

    async def withdraw(self, request: Request) -> Response:
        """POST …/documents/{externalId}/withdraw; without a version, whatever is stored."""
        document = self._door.document(request, is_written=True)
        if isinstance(document, Response):
            return document
        body = await read_or_refuse(read_json(request))
        if isinstance(body, Response):
            return body
        version, reason = body.get("sourceVersion", document.highest), body.get("reason")
        errors = [(f"/{name}", "must be text") for name, one in (("reason", reason), ("sourceVersion", version)) if not is_text(one, 256)]
        if errors:
            return problem("invalid-request", status=422, errors=errors)
        if version < document.highest:
            return problem("stale-version", storedVersion=document.highest)
        if document.is_withdrawn:
            return answer(document.as_json(), 200, {"X-Result": "unchanged"})
        self._records.record(
            {"kind": "withdrawal", "contact": document.contact_id, "external_id": document.key, "at": self._door.clock.text()}
            | {"version": version, "reason": reason}
        )
        return answer(document.as_json(), 200, {"X-Result": "withdrawn"})

    def content_of(self, version: Version, request: Request) -> Response:
        """The bytes of a version: whole, a range of them, or nothing new."""
        kind = version.metadata["contentType"]
        return serve_bytes(
            request,
            version.metadata["size"],
            f'"{version.metadata["sha256"]}"',
            f"{kind}; charset=utf-8" if kind == "text/plain" else kind,
            lambda first, size: self._records.journal.content(version.position + first, size),
        )

    def _keep(self, contact: Contact, upload: Upload) -> Response:
        """Keep a version if it is the highest. No await here: nobody comes between the comparison and the write."""
        external_id = upload.metadata["externalId"]
        known = contact.documents.get(external_id)
        if known is not None:
            if upload.version < known.highest:
                return problem("stale-version", storedVersion=known.highest)
            if upload.version == known.highest or known.is_plain:
                if not known.is_plain and upload.digest == known.current.digest and not known.is_withdrawn:
                    return answer(known.as_json(), 200, {"X-Result": "unchanged"})
                return problem("version-conflict", storedVersion=known.highest)
        refusal = self._uploads.refuse(contact, known, upload)
        if refusal is not None:
            return refusal
        self._uploads.keep(contact, known.id if known else str(uuid.uuid4()), upload)
        kept = contact.documents[external_id]
        return answer(kept.as_json(), 200 if known else 201, {"X-Result": "updated" if known else "created"})


def _date_of(document: Document) -> str:
    return document.current.metadata.get("documentDate") or ""


def _is_between(document: Document, first: str, last: str) -> bool:
    """Whether any day that the date may mean lies between these days."""
    written = _date_of(document)[:10]
    return bool(written) and written + LAST_DAY[len(written) :] >= first and written <= last
