"""Repeated requests: a POST with a known key changes nothing (draft-ietf-httpapi-idempotency-key-header-07, expired 2026-04)."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from services.carepatron_writer.platforms.carepatron.sandbox.clock import Clock, seconds_of
from services.carepatron_writer.platforms.carepatron.sandbox.problems import problem
from services.carepatron_writer.platforms.carepatron.sandbox.records import Records

_KEY = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255})"')  # RFC 9651, section 3.3.3: a string
POINTER = "/Idempotency-Key"


@dataclass(frozen=True, slots=True)
class Once:
    """One request with its key, or without one."""

    account: str
    key: str | None
    made_before: tuple[str, str] | None = None  # digest of what was asked then, id of what was made

    def repeated(self, payload: str) -> Response | str | None:
        """The id of what the first request made; a refusal where that asked for something else; None for a first request."""
        if self.made_before is None:
            return None
        if self.made_before[0] != payload:
            return problem("invalid-request", status=422, errors=[(POINTER, "was used with other content")])
        return self.made_before[1]

    def members(self, payload: str) -> dict[str, str | None]:
        """What a change says of the request that made it."""
        return {"account": self.account, "key": self.key, "payload": payload if self.key else None}


class Idempotency:
    """Keys of all accounts. One that made something is known for `hours`, also over a restart."""

    def __init__(self, records: Records, clock: Clock, hours: float) -> None:
        self._records = records
        self._clock = clock
        self._life_seconds = hours * 3600
        self._running: set[tuple[str, str]] = set()

    @contextmanager
    def open(self, request: Request, account: str, *, is_required: bool = False) -> Iterator[Once | Response]:
        """The key of a request, held while it runs; or why it is refused."""
        written = request.headers.get("idempotency-key")
        if written is None:
            needed = problem("invalid-request", errors=[(POINTER, "is required")])
            yield needed if is_required else Once(account, None)
            return
        match = _KEY.fullmatch(written.strip(" "))
        if match is None:
            yield problem("invalid-request", errors=[(POINTER, "must be a quoted string")])
            return
        place = (account, match[1])
        if place in self._running:
            yield problem("request-in-progress", errors=[(POINTER, "is in use")])
            return
        self._running.add(place)
        try:
            yield Once(account, match[1], self._known(place))
        finally:
            self._running.discard(place)

    def _known(self, place: tuple[str, str]) -> tuple[str, str] | None:
        known = self._records.keys.get(place)
        if known is None or self._clock.seconds() - seconds_of(known.at) >= self._life_seconds:
            return None
        return known.payload, known.made
