"""The sandbox's door: who asks, for which account and contact; pages of lists; the time."""

import hmac
from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.carepatron_writer.platforms.carepatron.sandbox.problems import answer, problem
from services.carepatron_writer.platforms.carepatron.sandbox.records import Contact, Records

MAX_PAGE = 100


class Door:
    """Checks in front of every operation of the contract; each gives back what was asked for, or the answer that refuses it."""

    def __init__(self, records: Records, *, api_key: str, provider_id: str | None, now: Callable[[], str]) -> None:
        self._records = records
        self._api_key = api_key.encode()
        self._provider_id = provider_id
        self.now = now

    def account(self, request: Request) -> str | Response:
        """The account of the path, when the key opens it."""
        if not hmac.compare_digest(request.headers.get("cp-api-key", "").encode("latin-1"), self._api_key):
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
            return problem("contact-merged", mergedInto=contact.merged_into or "")
        if is_written and contact.status == "archived":
            return problem("contact-archived")
        return contact


def page_of(items: Sequence[Any], limit: Any, offset: Any) -> Response:
    """One page of a list."""
    try:
        size, start = int(limit), int(offset)
    except (TypeError, ValueError):
        return problem("invalid-request", errors=[("/limit", "must be a number")])
    if not 1 <= size <= MAX_PAGE or start < 0:
        return problem("invalid-request", errors=[("/limit", f"must be 1 to {MAX_PAGE}, the offset not negative")])
    return answer({"items": items[start : start + size], "pagination": {"limit": size, "offset": start, "total": len(items)}})
