"""The plain twin: documents by POST and by their own id, as most platforms have them. No upsert, no versions, no search by reference."""

import asyncio
import uuid

from starlette.requests import Request
from starlette.responses import Response

from services.carepatron_writer.platforms.carepatron.sandbox.door import Door
from services.carepatron_writer.platforms.carepatron.sandbox.idempotency import Idempotency, Once
from services.carepatron_writer.platforms.carepatron.sandbox.problems import answer, problem
from services.carepatron_writer.platforms.carepatron.sandbox.records import Contact
from services.carepatron_writer.platforms.carepatron.sandbox.uploads import Uploads


class PlainApi:
    """The handlers; who sends a document twice has it twice."""

    def __init__(self, door: Door, idempotency: Idempotency, uploads: Uploads) -> None:
        self._door = door
        self._idempotency = idempotency
        self._uploads = uploads

    async def create(self, request: Request) -> Response:
        """POST …/documents"""
        contact = self._door.contact(request, is_written=True)
        if isinstance(contact, Response):
            return contact
        with self._idempotency.open(request, contact.account, is_required=self._door.switches.requires_key) as once:
            return once if isinstance(once, Response) else await self._create(request, contact, once)

    async def replace(self, request: Request) -> Response:
        """PUT …/documents/by-id/{documentId}: what is sent is on top, whatever was there."""
        contact = self._door.contact(request, is_written=True)
        if isinstance(contact, Response):
            return contact
        document_id = request.path_params["documentId"]
        upload = await self._uploads.read(request)
        if isinstance(upload, Response):
            return upload
        known = contact.documents.get(document_id)
        if known is None or not known.is_plain:
            return problem("not-found", errors=[("/documentId", "no such document")])
        refusal = self._uploads.refuse(contact, known, upload)
        if refusal is not None:
            return refusal
        self._uploads.keep(contact, document_id, upload, is_plain=True)
        return answer(known.as_json(), 200, {"X-Result": "updated"})

    async def _create(self, request: Request, contact: Contact, once: Once) -> Response:
        upload = await self._uploads.read(request)
        if isinstance(upload, Response):
            return upload
        payload = f"{contact.id} {upload.digest}"
        made = once.repeated(payload)
        if isinstance(made, Response):
            return made
        if made is None:
            await asyncio.sleep(self._door.switches.processing_seconds)
            refusal = self._uploads.refuse(contact, None, upload)
            if refusal is not None:
                return refusal
            made = str(uuid.uuid4())
            self._uploads.keep(contact, made, upload, is_plain=True, **once.members(payload))
        known = contact.documents.get(made)
        return answer(known.as_json(), 201, {"X-Result": "created"}) if known else problem("not-found")
