"""Contacts as the contract has them: list, search, create, read, replace."""

import asyncio
import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.carepatron_writer.platforms.carepatron.sandbox.checks import CONTACT_FIELDS, check_contact, is_criterion, is_time
from services.carepatron_writer.platforms.carepatron.sandbox.clock import seconds_of
from services.carepatron_writer.platforms.carepatron.sandbox.door import Door, page_of
from services.carepatron_writer.platforms.carepatron.sandbox.idempotency import Idempotency, Once
from services.carepatron_writer.platforms.carepatron.sandbox.parsing import read_json
from services.carepatron_writer.platforms.carepatron.sandbox.problems import answer, problem
from services.carepatron_writer.platforms.carepatron.sandbox.records import Contact, Records, digest_of
from services.carepatron_writer.platforms.carepatron.sandbox.refusals import read_or_refuse

MAX_CRITERIA = 10
ABSENT = object()


class ContactsApi:
    """The handlers; `door` checks keys and paths and tells the time."""

    def __init__(self, records: Records, door: Door, idempotency: Idempotency) -> None:
        self._records = records
        self._door = door
        self._idempotency = idempotency

    async def list(self, request: Request) -> Response:
        """GET …/contacts: those to whom every filter applies."""
        account = self._door.account(request)
        if isinstance(account, Response):
            return account
        query = request.query_params
        system, value, since = query.get("externalSystem"), query.get("externalValue"), query.get("updatedSince")
        if (system is None) != (value is None):
            return problem("invalid-request", errors=[("/externalValue", "goes with externalSystem")])
        if since is not None and not is_time(since):
            return problem("invalid-request", errors=[("/updatedSince", "must be a time with its zone")])
        found = [one for one in self._records.contacts.values() if one.account == account]
        for wanted in (
            {"externalReference": {"system": system, "value": value}} if system is not None else None,
            {"email": query["email"]} if "email" in query else None,
        ):
            if wanted is not None:
                matching = {one.id for one in self._records.search(account, [wanted])}
                found = [one for one in found if one.id in matching]
        if since is not None:
            found = [one for one in found if seconds_of(one.updated_at) >= seconds_of(since)]
        return page_of(found, query.get("limit"), query.get("offset"))

    async def search(self, request: Request) -> Response:
        """POST …/contacts/search"""
        account = self._door.account(request)
        if isinstance(account, Response):
            return account
        body = await read_or_refuse(read_json(request))
        if isinstance(body, Response):
            return body
        criteria = body.get("anyOf")
        if not isinstance(criteria, list) or not 0 < len(criteria) <= MAX_CRITERIA or not all(is_criterion(one) for one in criteria):
            return problem("invalid-request", errors=[("/anyOf", f"must be 1 to {MAX_CRITERIA} criteria")])
        return page_of(self._records.search(account, criteria), _digits_of(body, "limit"), _digits_of(body, "offset"))

    async def create(self, request: Request) -> Response:
        """POST …/contacts"""
        account = self._door.account(request)
        if isinstance(account, Response):
            return account
        with self._idempotency.open(request, account, is_required=self._door.switches.requires_key) as once:
            return once if isinstance(once, Response) else await self._create(request, account, once)

    async def get(self, request: Request) -> Response:
        """GET …/contacts/{contactId}"""
        contact = self._door.contact(request)
        return contact if isinstance(contact, Response) else _shown(contact)

    async def replace(self, request: Request) -> Response:
        """PUT …/contacts/{contactId}, only as it was read (RFC 9110, section 13.1.1; RFC 6585, section 3)."""
        contact = self._door.contact(request, is_written=True)
        if isinstance(contact, Response):
            return contact
        body = await _contact_in(request)
        if isinstance(body, Response):
            return body
        wanted = request.headers.get("if-match")
        if wanted is None:
            return problem("invalid-request", status=428, errors=[("/If-Match", "is required")])
        if wanted.strip() != "*" and contact.etag not in [one.strip() for one in wanted.split(",")]:
            return problem("precondition-failed")
        if contact.status != "active":  # while the body was on its way
            return (
                problem("contact-archived") if contact.status == "archived" else problem("contact-merged", mergedInto=contact.merged_into)
            )
        if body != contact.body:
            self._records.record(
                {"kind": "contact", "id": contact.id, "account": contact.account, "body": body, "at": self._door.clock.text()}
                | {"status": contact.status, "merged_into": None}
            )
        return _shown(contact)

    async def _create(self, request: Request, account: str, once: Once) -> Response:
        body = await _contact_in(request)
        if isinstance(body, Response):
            return body
        payload = digest_of(body)
        repeated = once.repeated(payload)
        if isinstance(repeated, Response):
            return repeated
        if repeated is None:
            await asyncio.sleep(self._door.switches.processing_seconds)
            repeated = str(uuid.uuid4())
            self._records.record(
                {"kind": "contact", "id": repeated, "body": body, "status": "active", "merged_into": None, "at": self._door.clock.text()}
                | once.members(payload)
            )
        return _shown(self._records.contacts[repeated], 201)


def _shown(contact: Contact, status: int = 200) -> Response:
    return answer(contact.as_json(), status, {"ETag": contact.etag})


async def _contact_in(request: Request) -> dict[str, Any] | Response:
    """The contact in a request: every field, and no other."""
    body = await read_or_refuse(read_json(request))
    if isinstance(body, Response):
        return body
    errors = check_contact(body)
    if errors:
        return problem("invalid-request", status=422, errors=errors)
    return {name: body.get(name, default) for name, default in CONTACT_FIELDS.items()}


def _digits_of(body: dict[str, Any], name: str) -> str | None:
    """A number of JSON as the digits that a query would hold."""
    value = body.get(name, ABSENT)
    if type(value) is int or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    return None if value is ABSENT else ""
