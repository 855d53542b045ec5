"""The limits that the profile describes, enforced and counted: several windows at once, of the key, the account or one operation."""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from starlette.responses import Response

from services.carepatron_writer.platforms.carepatron.sandbox.clock import Clock
from services.carepatron_writer.platforms.carepatron.sandbox.problems import problem
from services.carepatron_writer.platforms.profile import Profile, Window

FORMS = ("seconds", "http_date", "unix_seconds", "milliseconds", "none", "absurd")
ABSURD = ("315360000", "-5", "abc")  # ten years, the past, words
Place = tuple[str, ...]  # what a window is counted for


@dataclass(slots=True)
class Seen:
    """What one window has seen for one key, account or operation."""

    taken: deque[float] = field(default_factory=deque)  # times of requests that were let in and still count
    asked: deque[float] = field(default_factory=deque)  # times of all requests that still count
    highest: int = 0  # the most requests, let in or not, that stood in the window at once
    refused: int = 0


class Limits:
    """Counts every request. One that finds a window full is refused and takes no place in it."""

    def __init__(self, profile: Profile, clock: Clock, name_of: Callable[[Any], str | None]) -> None:
        self._retry = profile.retry
        self._clock = clock
        self._name_of = name_of
        self._turn = 0
        self.requests = 0
        self.set(profile.windows)

    def set(self, windows: tuple[Window, ...], form: str = "seconds", status: int | None = None) -> None:
        """Other windows, and another way to say "later"; counting begins anew."""
        if form not in FORMS or status not in (None, 401, 403, 429, 503):
            raise ValueError("unknown form or status")
        self.windows, self._form, self._status = windows, form, status or self._retry.statuses[0]
        self._seen: list[dict[Place, Seen]] = [{} for _ in windows]
        self.requests = 0

    def refuse(self, scope: Any, key: str, account: str) -> Response | None:
        """Count a request; the refusal when there is no room for it."""
        self.requests += 1
        if not self.windows:
            return None
        now, name = self._clock.seconds(), self._name_of(scope) or "unknown"
        waits, taken = [], []
        for window, places in zip(self.windows, self._seen, strict=True):
            if window.operations and name not in window.operations:
                continue
            seen = places.setdefault(_place_of(window, key, account, name), Seen())
            _forget(window, seen, now)
            seen.asked.append(now)
            seen.highest = max(seen.highest, len(seen.asked))
            if len(seen.taken) >= window.requests:
                seen.refused += 1
                waits.append(_end_of(window, seen.taken[len(seen.taken) - window.requests]) - now)
            else:
                taken.append(seen)
        if waits:
            return self._later(max(waits))
        for seen in taken:
            seen.taken.append(now)
        return None

    def state(self) -> dict[str, Any]:
        """Each window with the most that it has seen, in all and for each key, account or operation."""
        windows = []
        for window, places in zip(self.windows, self._seen, strict=True):
            of = [{"of": list(place), "highest": one.highest, "refused": one.refused} for place, one in places.items()]
            highest, refused = max((one.highest for one in places.values()), default=0), sum(one.refused for one in places.values())
            windows.append({**window.model_dump(mode="json"), "highest": highest, "refused": refused, "places": of})
        return {"requests": self.requests, "form": self._form, "status": self._status, "windows": windows}

    def _later(self, seconds: float) -> Response:
        self._turn += 1
        wish = wish_of(self._form, seconds, self._clock.seconds(), self._turn)
        headers = {self._retry.headers[0]: wish} if wish is not None else None
        codes: Mapping[int, str] = {401: "unauthorized", 403: "forbidden", 503: "upstream-chaos"}
        return problem(codes.get(self._status, "rate-limited"), headers=headers)


def wish_of(form: str, seconds: float, now: float, turn: int = 0) -> str | None:
    """ "Wait so long" in one of the forms that platforms use; None where they do not say."""
    until = now + seconds
    match form:
        case "seconds":
            return str(math.ceil(seconds))
        case "http_date":
            return formatdate(math.ceil(until), usegmt=True)
        case "unix_seconds":
            return str(math.ceil(until))
        case "milliseconds":
            return str(math.ceil(seconds * 1000))
        case "absurd":
            return ABSURD[turn % len(ABSURD)]
    return None


def _place_of(window: Window, key: str, account: str, name: str) -> Place:
    match window.scope:
        case "key":
            return ("key", key)
        case "clinic":
            return ("clinic", account)
    return ("endpoint", account, name)


def _end_of(window: Window, taken: float) -> float:
    """When a request that came then no longer counts."""
    if window.kind == "calendar":
        return (taken // window.seconds + 1) * window.seconds
    return taken + window.seconds


def _forget(window: Window, seen: Seen, now: float) -> None:
    for times in (seen.taken, seen.asked):
        while times and _end_of(window, times[0]) <= now:
            times.popleft()
