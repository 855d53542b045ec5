"""Sharing a document with the client, with staff or with a contact: what must never happen by accident, and is on record when it does."""

import asyncio
import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.carepatron_writer.platforms.carepatron.sandbox.checks import check_share
from services.carepatron_writer.platforms.carepatron.sandbox.clock import seconds_of
from services.carepatron_writer.platforms.carepatron.sandbox.door import Door
from services.carepatron_writer.platforms.carepatron.sandbox.idempotency import Idempotency, Once
from services.carepatron_writer.platforms.carepatron.sandbox.parsing import read_json
from services.carepatron_writer.platforms.carepatron.sandbox.problems import answer, problem
from services.carepatron_writer.platforms.carepatron.sandbox.records import Document, Records, digest_of
from services.carepatron_writer.platforms.carepatron.sandbox.refusals import read_or_refuse


class SharesApi:
    """The handlers. An Idempotency-Key is required: a second share is a second message to somebody."""

    def __init__(self, records: Records, door: Door, idempotency: Idempotency) -> None:
        self._records = records
        self._door = door
        self._idempotency = idempotency

    async def create(self, request: Request) -> Response:
        """POST …/documents/{externalId}/shares"""
        document = self._door.document(request, is_written=True)
        if isinstance(document, Response):
            return document
        with self._idempotency.open(request, request.path_params["providerId"], is_required=True) as once:
            return once if isinstance(once, Response) else await self._create(request, document, once)

    async def end(self, request: Request) -> Response:
        """DELETE …/documents/{externalId}/shares/{shareId}"""
        document = self._door.document(request, is_written=True)
        if isinstance(document, Response):
            return document
        share_id = request.path_params["shareId"]
        if share_id not in document.shares:
            return problem("not-found", errors=[("/shareId", "no such share")])
        self._records.record(
            {"kind": "unshare", "contact": document.contact_id, "document": document.key, "id": share_id, "at": self._door.clock.text()}
        )
        return Response(status_code=204)

    async def _create(self, request: Request, document: Document, once: Once) -> Response:
        body = await read_or_refuse(read_json(request))
        if isinstance(body, Response):
            return body
        errors = check_share(body) or self._check(document, once.account, body)
        if errors:
            return problem("invalid-request", status=422, errors=errors)
        payload = f"{document.id} {digest_of(body)}"
        made = once.repeated(payload)
        if isinstance(made, Response):
            return made
        if made is None:
            await asyncio.sleep(self._door.switches.processing_seconds)
            made = str(uuid.uuid4())
            self._records.record(
                {"kind": "share", "contact": document.contact_id, "document": document.key, "id": made, "at": self._door.clock.text()}
                | {"with": body["with"]["kind"], "whom": body["with"]["id"], "expires_at": body.get("expiresAt")}
                | once.members(payload)
            )
        share = document.shares.get(made)
        return answer(share.as_json(document.id), 201) if share else problem("not-found", errors=[("/shareId", "no such share any more")])

    def _check(self, document: Document, account: str, body: dict[str, Any]) -> list[tuple[str, str]]:
        """What is wrong with a wish to share this document."""
        kind, whom, until = body["with"]["kind"], body["with"]["id"], body.get("expiresAt")
        errors = []
        if (kind == "client" and whom != document.contact_id) or (kind == "contact" and self._records.contact(account, whom) is None):
            errors.append(("/with/id", "is nobody here"))
        if until is not None and seconds_of(until) <= self._door.clock.seconds():
            errors.append(("/expiresAt", "has passed"))
        if document.is_withdrawn:
            errors.append(("/externalId", "was withdrawn"))
        return errors
