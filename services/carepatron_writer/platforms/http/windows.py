"""One limit window: how many requests it has seen, and when there is room again. Pure; times come in from outside."""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from services.carepatron_writer.platforms.profile import Window

GUARD_SECONDS = 2.0  # how far two clocks, or the way of a request, may be apart at the end of a calendar period
NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request that counts."""

    periods: range  # of the calendar, that its sending touched


class Count:
    """The count of one window.

    A request counts from its sending until `seconds` after its answer: wherever in between the platform saw it, no window of that
    length holds more than allowed. Replays leave `reserve`, a part of the window, to live requests, and go at even distances.
    """

    def __init__(self, window: Window, wall: Callable[[], float], reserve: float = 0.0) -> None:
        self.window = window
        self._wall = wall
        self._guard = min(GUARD_SECONDS, window.seconds / 10)
        kept_free = max(1, int(window.requests * reserve)) if reserve > 0 and window.requests > 1 else 0
        self._left = window.requests - kept_free
        self._next_replayed = -NEVER
        self._in_flight = 0
        self._ends: deque[float] = deque()  # rolling: when those answered stop counting
        self._periods: Counter[int] = Counter()  # calendar: requests that may have fallen into a period
        self._open: Counter[int] = Counter()  # calendar: those on their way, by the last period that their sending touched

    def limit(self, *, is_live: bool) -> int:
        """How many requests of this kind the window takes."""
        return self.window.requests if is_live else self._left

    def free_at(self, now: float, *, is_live: bool) -> float:
        """When the next request may go: now, later, or NEVER while only an answer can tell."""
        limit = self.limit(is_live=is_live)
        soonest = now if is_live else max(now, self._next_replayed)
        if self.window.kind == "calendar":
            return max(soonest, self._calendar_free_at(now, limit))
        while self._ends and self._ends[0] <= now:
            self._ends.popleft()
        too_many = self._in_flight + len(self._ends) - limit
        if too_many < 0:
            return soonest
        return max(soonest, self._ends[too_many]) if too_many < len(self._ends) else NEVER

    def take(self, now: float, *, is_live: bool) -> Ticket:
        """A request goes."""
        if not is_live:  # spread: a live one then never finds a window emptied by a burst of replays
            self._next_replayed = max(now, self._next_replayed) + self.window.seconds / self._left
        self._in_flight += 1
        if self.window.kind == "rolling":
            return Ticket(range(0))
        wall = self._wall()
        ticket = Ticket(self._touched(wall, wall))
        self._periods.update(ticket.periods)
        self._open[ticket.periods[-1]] += 1
        return ticket

    def give_back(self, ticket: Ticket, now: float) -> None:
        """Its answer came, or never will."""
        self._in_flight -= 1
        if self.window.kind == "rolling":
            self._ends.append(now + self.window.seconds)
            return
        wall = self._wall()
        self._close(ticket)
        self._periods.update(range(ticket.periods.stop, self._touched(wall, wall).stop))
        for old in [one for one in self._periods if (one + 2) * self.window.seconds < wall]:
            del self._periods[old]

    def cancel(self, ticket: Ticket) -> None:
        """It was never sent."""
        self._in_flight -= 1
        if self.window.kind == "calendar":
            self._close(ticket)
            self._periods.subtract(ticket.periods)

    def used(self, now: float) -> int:
        """How many count now, for people."""
        if self.window.kind == "calendar":
            return self._seen_in(int(self._wall() // self.window.seconds))
        return self._in_flight + sum(one > now for one in self._ends)

    def _close(self, ticket: Ticket) -> None:
        last = ticket.periods[-1]
        self._open[last] -= 1
        if not self._open[last]:
            del self._open[last]

    def _touched(self, begin: float, end: float) -> range:
        seconds = self.window.seconds
        return range(int((begin - self._guard) // seconds), int((end + self._guard) // seconds) + 1)

    def _calendar_free_at(self, now: float, limit: int) -> float:
        if self._in_flight >= limit:
            return NEVER  # the platform may see them in any period from now on
        wall, seconds = self._wall(), self.window.seconds
        at = wall
        for _ in range(4):
            full = [one for one in self._touched(at, at) if self._seen_in(one) >= limit]
            if not full:
                return now + max(0.0, at - wall)
            at = (max(full) + 1) * seconds + self._guard
        return now + seconds

    def _seen_in(self, period: int) -> int:
        """How many the platform may have seen, or may yet see, in a period."""
        return self._periods[period] + sum(count for last, count in self._open.items() if last < period)
