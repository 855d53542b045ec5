"""How fast a platform may be asked: its windows, the pauses it asks for, and who goes first. Kept by all lanes of an account together."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any

from services.carepatron_writer.platforms.http.scopes import Scope
from services.carepatron_writer.platforms.http.windows import NEVER, Count, Ticket
from services.carepatron_writer.platforms.port import PRIORITY, Priority
from services.carepatron_writer.platforms.profile import Profile, Window
from shared.errors import Unavailable

LONGEST_WAIT_SECONDS = 2.0  # a turn that is further away is an outage: the lane waits, not the worker
SHORTEST_SLEEP_SECONDS = 0.001


@dataclass(frozen=True, slots=True, order=True)
class Waiter:
    """Somebody in line."""

    priority: Priority
    serial: int
    since: float
    operation: str
    turn: "asyncio.Future[list[Ticket]]" = field(compare=False)


class Limits:
    """Turns for requests: never more than a window holds, none while the platform asks to wait, live before replayed.

    Replayed documents leave a part of each window to live ones and are spread over the rest of it.
    """

    def __init__(
        self,
        target: str,
        profile: Profile,
        *,
        windows: Iterable[Window] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._target = target
        self._clock = clock
        self._sleep = sleep
        self._reserve = profile.requests.live_reserve
        self._free = profile.requests.in_flight
        self._all = Scope()
        self._counts: dict[str, list[Count]] = {name: [] for name in profile.operations}
        self._scopes = {name: Scope() for name in profile.operations}
        for window in profile.windows if windows is None else windows:
            self._count(window, wall)
        self._waiting: dict[str, list[Waiter]] = {name: [] for name in profile.operations}  # heaps, the most urgent first
        self._line: deque[Waiter] = deque()  # all of them as they came
        self._serial = 0
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = NEVER

    def _count(self, window: Window, wall: Callable[[], float]) -> None:
        concerned = window.operations or tuple(self._counts)
        shared = Count(window, wall, self._reserve)
        for name in concerned:
            self._counts[name].append(Count(window, wall, self._reserve) if window.scope == "endpoint" else shared)

    def pause(self, operation: str, seconds: float, *, is_for_all: bool) -> None:
        """The platform asked for a pause; a longer one stands."""
        scope = self._all if is_for_all else self._scopes[operation]
        scope.pause(self._clock() + seconds)

    def note(self, operation: str, *, is_outage: bool) -> None:
        """How a request ended: an operation that fails while others work is asked less often."""
        now = self._clock()
        if not is_outage:
            self._all.succeed(now)
            self._scopes[operation].succeed(now)
        else:
            self._scopes[operation].fail(now, last_success_elsewhere=self._all.succeeded_at)

    def is_shared(self, operation: str) -> bool:
        """Whether a limit that this operation has met holds for the others too."""
        counts = self._counts[operation]
        return not counts or any(one.window.scope != "endpoint" for one in counts)

    def check(self, operation: str) -> None:
        """Raise Unavailable when there is no turn for this operation soon."""
        now = self._clock()
        self._refuse_while_paused(operation, now)
        self._refuse_if_far(self._ready_at(operation, now, PRIORITY.get()), now)

    @asynccontextmanager
    async def turn(self, operation: str) -> AsyncIterator[None]:
        """Wait for a turn and hold it. Raises Unavailable when it is too far away; then nothing was sent."""
        now, priority, scope = self._clock(), PRIORITY.get(), self._scopes[operation]
        self._refuse_while_paused(operation, now)
        at = self._ready_at(operation, now, priority)
        self._refuse_if_far(at, now)
        tickets = self._take(operation, now, priority) if self._is_free(at, now) else await self._wait(operation, priority)
        is_sent = is_probe = False
        try:
            self._refuse_while_paused(operation, self._clock())
            is_sent, is_probe = True, scope.begin()
            yield
        finally:
            if is_probe:
                scope.end_probe()
            self._give_back(operation, tickets, is_sent=is_sent)

    def writes_per_second(self, operations: Iterable[str]) -> float | None:
        """The rate that the windows allow to replays in the long run, when one write is one of each of these; None: no limit known."""
        wanted = tuple(operations)
        rates = []
        for operation in wanted:
            for count in self._counts[operation]:
                sharing = 1 if count.window.scope == "endpoint" else sum(count in self._counts[one] for one in wanted)
                rates.append(count.limit(is_live=False) / count.window.seconds / sharing)
        return min(rates) if rates else None

    def state(self, operations: Iterable[str]) -> dict[str, Any]:
        """The windows and what is used of them; `operations` are those of one write."""
        now = self._clock()
        seen: dict[int, Count] = {id(count): count for counts in self._counts.values() for count in counts}
        windows = [
            {"name": one.window.name, "used": one.used(now), "requests": one.window.requests, "seconds": one.window.seconds}
            for one in seen.values()
        ]
        paused = max(0.0, self._all.paused_until - now)
        return {"writes_per_second": self.writes_per_second(operations), "paused_seconds": round(paused, 1), "windows": windows}

    async def aclose(self) -> None:
        """Nobody waits any more."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    # --- inside ---

    def _refuse_while_paused(self, operation: str, now: float) -> None:
        if now < self._all.paused_until:
            raise Unavailable(self._target, "paused", retry_after_seconds=self._all.paused_until - now, is_target_down=True)
        wait = self._scopes[operation].wait_seconds(now)
        if wait > 0:
            raise Unavailable(self._target, f"{operation} paused", retry_after_seconds=wait)

    def _refuse_if_far(self, at: float, now: float) -> None:
        if at != NEVER and at - now > LONGEST_WAIT_SECONDS:
            raise Unavailable(self._target, "rate", retry_after_seconds=at - now)

    def _is_free(self, at: float, now: float) -> bool:
        return self._free > 0 and at <= now and not self._line  # who waits for a shared window may be more urgent

    def _ready_at(self, operation: str, now: float, priority: Priority) -> float:
        counts = self._counts[operation]
        return max(one.free_at(now, is_live=priority.is_live) for one in counts) if counts else now

    def _take(self, operation: str, now: float, priority: Priority) -> list[Ticket]:
        self._free -= 1
        return [one.take(now, is_live=priority.is_live) for one in self._counts[operation]]

    def _give_back(self, operation: str, tickets: list[Ticket], *, is_sent: bool) -> None:
        self._free += 1
        now = self._clock()
        for count, ticket in zip(self._counts[operation], tickets, strict=True):
            if is_sent:
                count.give_back(ticket, now)
            else:
                count.cancel(ticket)
        self._wake()

    async def _wait(self, operation: str, priority: Priority) -> list[Ticket]:
        """Stand in line. Raises Unavailable when a window kept it there for too long."""
        self._serial += 1
        turn: asyncio.Future[list[Ticket]] = asyncio.get_running_loop().create_future()
        waiter = Waiter(priority, self._serial, self._clock(), operation, turn)
        heappush(self._waiting[operation], waiter)
        self._line.append(waiter)
        self._wake()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._give_back(operation, turn.result(), is_sent=False)
            raise

    def _wake(self) -> None:
        """Give turns to those who may go, the most urgent first; turn away who waits too long; set the alarm for the next."""
        if not self._line:
            return
        now = self._clock()
        soonest = min(self._serve(now), self._turn_away(now))
        if soonest != NEVER and (self._alarm is None or soonest < self._alarm_at):
            self._set_alarm(soonest)

    def _serve(self, now: float) -> float:
        """Turns for those who may go; when the next may."""
        soonest = NEVER
        heads: list[tuple[Waiter, str]] = [(line[0], name) for name, line in self._waiting.items() if line]
        heapify(heads)
        while heads:
            waiter, name = heads[0]
            line = self._waiting[name]
            if not waiter.turn.done():
                at = self._ready_at(name, now, waiter.priority)
                if at > now:  # so may nobody behind it
                    soonest = min(soonest, at)
                    heappop(heads)
                    continue
                if self._free <= 0:
                    break
                waiter.turn.set_result(self._take(name, now, waiter.priority))
            heappop(line)
            if line:
                heapreplace(heads, (line[0], name))
            else:
                heappop(heads)
        return soonest

    def _turn_away(self, now: float) -> float:
        """An outage for those whom a window kept too long; when the next is due. Who only waits for others to end may stay."""
        line, patient = self._line, deque[Waiter]()
        while line and (line[0].turn.done() or line[0].since + LONGEST_WAIT_SECONDS <= now):
            waiter = line.popleft()
            if waiter.turn.done():
                continue
            at = self._ready_at(waiter.operation, now, waiter.priority)
            if at > now:
                wait = min(at - now, LONGEST_WAIT_SECONDS)
                waiter.turn.set_exception(Unavailable(self._target, "rate", retry_after_seconds=wait))
            else:
                patient.append(waiter)
        due = line[0].since + LONGEST_WAIT_SECONDS if line else NEVER
        line.extendleft(reversed(patient))
        return due

    def _set_alarm(self, at: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = asyncio.create_task(self._ring(at))

    async def _ring(self, at: float) -> None:
        await self._sleep(max(at - self._clock(), SHORTEST_SLEEP_SECONDS))
        self._alarm = None
        self._wake()
