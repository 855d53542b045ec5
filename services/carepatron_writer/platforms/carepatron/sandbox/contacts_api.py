"""Contacts as the contract has them: list, search, create, read, replace."""

import re
import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.carepatron_writer.platforms.carepatron.sandbox.door import Door, page_of
from services.carepatron_writer.platforms.carepatron.sandbox.parsing import TooLarge, Unreadable, check_contact, is_criterion, read_object
from services.carepatron_writer.platforms.carepatron.sandbox.problems import answer, problem
from services.carepatron_writer.platforms.carepatron.sandbox.records import Contact, Records, digest_of

FIELDS = (
    "isClient",
    "firstName",
    "lastName",
    "email",
    "phoneNumber",
    "dateOfBirth",
    "tags",
    "externalReferences",
    "medicalHistory",
    "dietaryPreferences",
    "nutritionChanges",
    "customFields",
)
_KEY = re.compile(r'"([\x20-\x21\x23-\x7e]{1,255})"')


class ContactsApi:
    """The handlers; `door` checks keys and paths and tells the time."""

    def __init__(self, records: Records, door: Door) -> None:
        self._records = records
        self._door = door

    async def list(self, request: Request) -> Response:
        """GET …/contacts"""
        account = self._door.account(request)
        if isinstance(account, Response):
            return account
        query = request.query_params
        wanted: list[dict[str, Any]] = []
        if "externalSystem" in query and "externalValue" in query:
            wanted.append({"externalReference": {"system": query["externalSystem"], "value": query["externalValue"]}})
        if "email" in query:
            wanted.append({"email": query["email"]})
        found = self._records.search(account, wanted) if wanted else [x for x in self._records.contacts.values() if x.account == account]
        since = query.get("updatedSince", "")
        return page_of([one.as_json() for one in found if one.updated_at >= since], query.get("limit", 100), query.get("offset", 0))

    async def search(self, request: Request) -> Response:
        """POST …/contacts/search"""
        account = self._door.account(request)
        if isinstance(account, Response):
            return account
        try:
            body = await read_object(request)
        except (TooLarge, Unreadable):
            return problem("invalid-request")
        criteria = body.get("anyOf")
        if not isinstance(criteria, list) or not 0 < len(criteria) <= 10 or not all(is_criterion(one) for one in criteria):
            return problem("invalid-request", errors=[("/anyOf", "must be a list of criteria")])
        found = self._records.search(account, criteria)
        return page_of([one.as_json() for one in found], body.get("limit", 100), body.get("offset", 0))

    async def create(self, request: Request) -> Response:
        """POST …/contacts"""
        account = self._door.account(request)
        if isinstance(account, Response):
            return account
        body = await _contact_in(request)
        if isinstance(body, Response):
            return body
        key, payload = _key_of(request), digest_of(body)
        if isinstance(key, Response):
            return key
        known = self._records.keys.get((account, key)) if key else None
        if known is not None:
            if known[0] != payload:
                return problem("invalid-request", status=422, errors=[("/Idempotency-Key", "was used with other content")])
            found = self._records.contacts[known[1]]
            return answer(found.as_json(), 201, {"ETag": found.etag})
        made = str(uuid.uuid4())
        self._record(made, account, body, "active", None, key=key, payload=payload)
        contact = self._records.contacts[made]
        return answer(contact.as_json(), 201, {"ETag": contact.etag})

    async def get(self, request: Request) -> Response:
        """GET …/contacts/{contactId}"""
        contact = self._door.contact(request)
        return contact if isinstance(contact, Response) else answer(contact.as_json(), 200, {"ETag": contact.etag})

    async def replace(self, request: Request) -> Response:
        """PUT …/contacts/{contactId}"""
        contact = self._door.contact(request, is_written=True)
        if isinstance(contact, Response):
            return contact
        body = await _contact_in(request)
        if isinstance(body, Response):
            return body
        wanted = request.headers.get("if-match")
        if wanted is None:
            return problem("invalid-request", status=428, errors=[("/If-Match", "is required")])
        if wanted != contact.etag:
            return problem("precondition-failed")
        if body != contact.body:
            self._record(contact.id, contact.account, body, contact.status, None)
        return answer(contact.as_json(), 200, {"ETag": contact.etag})

    def change_status(self, contact: Contact, status: str, merged_into: str | None) -> None:
        """Archive, restore or merge, as the clinic would on the platform."""
        self._record(contact.id, contact.account, contact.body, status, merged_into)

    def _record(
        self,
        contact_id: str,
        account: str,
        body: dict[str, Any],
        status: str,
        merged_into: str | None,
        *,
        key: str | None = None,
        payload: str | None = None,
    ) -> None:
        self._records.record(
            {
                "kind": "contact",
                "id": contact_id,
                "account": account,
                "body": body,
                "status": status,
                "merged_into": merged_into,
                "at": self._door.now(),
                "key": key,
                "payload": payload,
            }
        )


async def _contact_in(request: Request) -> dict[str, Any] | Response:
    """The contact in a request, known fields only."""
    try:
        body = await read_object(request)
    except TooLarge:
        return problem("payload-too-large")
    except Unreadable:
        return problem("invalid-request")
    errors = check_contact(body)
    return problem("invalid-request", status=422, errors=errors) if errors else {name: body[name] for name in FIELDS if name in body}


def _key_of(request: Request) -> str | Response | None:
    """The idempotency key: a structured-field string."""
    written = request.headers.get("idempotency-key")
    if written is None:
        return None
    match = _KEY.fullmatch(written.strip())
    return match[1] if match else problem("invalid-request", errors=[("/Idempotency-Key", "must be a quoted string")])
