"""The sandbox's door: who asks, for which account, contact and document; pages of lists; the time."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.carepatron_writer.platforms.carepatron.sandbox.clock import Clock
from services.carepatron_writer.platforms.carepatron.sandbox.keys import AccountKey
from services.carepatron_writer.platforms.carepatron.sandbox.problems import answer, problem
from services.carepatron_writer.platforms.carepatron.sandbox.records import Contact, Document, Records
from services.carepatron_writer.platforms.carepatron.sandbox.switches import Switches

MAX_PAGE = 100
_NUMBER = re.compile(r"[0-9]{1,9}")


class Door:
    """Checks in front of every operation of the contract; each gives back what was asked for, or the answer that refuses it."""

    def __init__(
        self, records: Records, clock: Clock, key: AccountKey, *, header: str, provider_id: str | None, switches: Switches
    ) -> None:
        self._records = records
        self._key = key
        self._header = header
        self._provider_id = provider_id
        self.clock = clock
        self.switches = switches

    def is_open(self, headers: Mapping[str, str]) -> bool:
        """Whether the key is the right one."""
        return self._key.opens(headers.get(self._header, ""))

    def account(self, request: Request) -> str | Response:
        """The account of the path, when the key opens it."""
        if not self.is_open(request.headers):
            return problem("unauthorized")
        account: str = request.path_params["providerId"]
        return account if self._provider_id in (None, account) else problem("forbidden")

    def contact(self, request: Request, *, is_written: bool = False) -> Contact | Response:
        """The contact of the path; a merged one is gone, an archived one takes no writes."""
        account = self.account(request)
        if isinstance(account, Response):
            return account
        contact = self._records.contact(account, request.path_params["contactId"])
        if contact is None:
            return problem("not-found", errors=[("/contactId", "no such contact")])
        if contact.status == "merged":
            return problem("contact-merged", mergedInto=contact.merged_into)
        if is_written and contact.status == "archived":
            return problem("contact-archived")
        return contact

    def document(self, request: Request, *, is_written: bool = False) -> Document | Response:
        """The document of the path: by our reference or, without upsert, by its own id."""
        contact = self.contact(request, is_written=is_written)
        if isinstance(contact, Response):
            return contact
        key = request.path_params["externalId"]
        found = contact.documents.get(key)
        if not self.switches.upsert:
            found = next((one for one in contact.documents.values() if one.id == key), None)
        if found is None:
            return problem("not-found", errors=[("/externalId", "no such document")])
        return (self.locked(found) if is_written else None) or found

    def locked(self, document: Document) -> Response | None:
        """The refusal, while somebody else is working on the document."""
        if self.switches.locked and not {document.id, document.external_id}.isdisjoint(self.switches.locked):
            return problem("locked", headers={"Retry-After": "1"})
        return None


def page_of(
    items: Sequence[Any], limit: str | None, offset: str | None, show: Callable[[Any], Any] = lambda one: one.as_json()
) -> Response:
    """One page of a list."""
    size, start = _number(limit, MAX_PAGE), _number(offset, 0)
    if size is None or not 1 <= size <= MAX_PAGE:
        return problem("invalid-request", errors=[("/limit", f"must be 1 to {MAX_PAGE}")])
    if start is None:
        return problem("invalid-request", errors=[("/offset", "must be a number that is not negative")])
    shown = [show(one) for one in items[start : start + size]]
    return answer({"items": shown, "pagination": {"limit": size, "offset": start, "total": len(items)}})


def _number(text: str | None, default: int) -> int | None:
    if text is None:
        return default
    return int(text) if _NUMBER.fullmatch(text) else None
