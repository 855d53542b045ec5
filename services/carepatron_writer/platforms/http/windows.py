"""One limit window: how many requests it has seen, and when there is room again. Pure; times come in from outside."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from services.carepatron_writer.platforms.profile import Window

GUARD_SECONDS = 2.0  # how far two clocks, or the way of a request, may be apart at the end of a calendar period
NEVER = float("inf")


@dataclass(slots=True)
class Ticket:
    """A request that counts."""

    sent: float
    sent_wall: float


class Count:
    """The count of one window.

    A request counts from its sending until `seconds` after its answer: wherever in between the platform saw it, no window of that
    length holds more than allowed.
    """

    def __init__(self, window: Window, wall: Callable[[], float]) -> None:
        self.window = window
        self._wall = wall
        self._guard = min(GUARD_SECONDS, window.seconds / 10)
        self._in_flight = 0
        self._ends: deque[float] = deque()  # rolling: when those answered stop counting
        self._periods: dict[int, int] = {}  # calendar: requests that may fall into a period

    def limit(self, reserve: float) -> int:
        """How many may be taken by those who must leave a reserve."""
        requests = self.window.requests
        return requests if reserve <= 0 or requests == 1 else requests - max(1, int(requests * reserve))

    def free_at(self, now: float, reserve: float) -> float:
        """When the next request may go: now, later, or NEVER while only an answer can tell."""
        limit = self.limit(reserve)
        if self.window.kind == "calendar":
            return self._calendar_free_at(now, limit)
        while self._ends and self._ends[0] <= now:
            self._ends.popleft()
        too_many = self._in_flight + len(self._ends) - limit
        if too_many < 0:
            return now
        return self._ends[too_many] if too_many < len(self._ends) else NEVER

    def take(self, now: float) -> Ticket:
        """A request goes."""
        wall = self._wall()
        if self.window.kind == "calendar":
            for period in self._touched(wall, wall):
                self._periods[period] = self._periods.get(period, 0) + 1
        else:
            self._in_flight += 1
        return Ticket(now, wall)

    def give_back(self, ticket: Ticket, now: float) -> None:
        """Its answer came, or never will."""
        if self.window.kind == "rolling":
            self._in_flight -= 1
            self._ends.append(now + self.window.seconds)
            return
        wall = self._wall()
        counted = self._touched(ticket.sent_wall, ticket.sent_wall)
        for period in self._touched(ticket.sent_wall, wall):
            if period not in counted:
                self._periods[period] = self._periods.get(period, 0) + 1
        for old in [one for one in self._periods if (one + 2) * self.window.seconds < wall]:
            del self._periods[old]

    def used(self, now: float) -> int:
        """How many count now."""
        if self.window.kind == "calendar":
            return self._periods.get(int(self._wall() // self.window.seconds), 0)
        return self._in_flight + sum(one > now for one in self._ends)

    def _touched(self, begin: float, end: float) -> range:
        seconds = self.window.seconds
        return range(int((begin - self._guard) // seconds), int((end + self._guard) // seconds) + 1)

    def _calendar_free_at(self, now: float, limit: int) -> float:
        wall, seconds = self._wall(), self.window.seconds
        at = wall
        for _ in range(4):
            full = [one for one in self._touched(at, at) if self._periods.get(one, 0) >= limit]
            if not full:
                return now + max(0.0, at - wall)
            at = (max(full) + 1) * seconds + self._guard
        return now + seconds
