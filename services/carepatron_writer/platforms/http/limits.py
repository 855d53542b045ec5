"""How fast a platform may be asked: its windows, the pauses it asks for, and who goes first. Kept by all lanes of an account together."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, heapreplace

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
        self._next_replayed: dict[str, float] = {}
        self._waiting: dict[str, list[Waiter]] = {name: [] for name in profile.operations}
        self._serial = 0
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = NEVER

    def _count(self, window: Window, wall: Callable[[], float]) -> None:
        concerned = window.operations or tuple(self._counts)
        shared = Count(window, wall)
        for name in concerned:
            self._counts[name].append(Count(window, wall) if window.scope == "endpoint" else shared)

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
        self._refuse_while_paused(now)
        self._refuse_if_far(self._ready_at(operation, now, PRIORITY.get()), now)

    @asynccontextmanager
    async def turn(self, operation: str) -> AsyncIterator[None]:
        """Wait for a turn and hold it. Raises Unavailable when it is too far away; then nothing was sent."""
        now, priority = self._clock(), PRIORITY.get()
        self._refuse_while_paused(now)
        at = self._ready_at(operation, now, priority)
        self._refuse_if_far(at, now)
        tickets = self._take(operation, now, priority) if self._is_free(operation, at, now) else await self._wait(operation, priority)
        try:
            self._refuse_while_paused(self._clock())
            self._refuse_broken(operation)
            yield
        finally:
            self._give_back(operation, tickets)

    def writes_per_second(self, operations: Iterable[str]) -> float | None:
        """The rate that the windows allow to replays in the long run, when one write is one of each of these; None: no limit known."""
        wanted = tuple(operations)
        rates = []
        for operation in wanted:
            for count in self._counts[operation]:
                sharing = 1 if count.window.scope == "endpoint" else sum(count in self._counts[one] for one in wanted)
                rates.append(count.limit(self._reserve) / count.window.seconds / sharing)
        return min(rates) if rates else None

    async def aclose(self) -> None:
        """Nobody waits any more."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    # --- inside ---

    def _refuse_while_paused(self, now: float) -> None:
        until = self._all.paused_until
        if now < until:
            raise Unavailable(self._target, "paused", retry_after_seconds=until - now, is_target_down=True)

    def _refuse_broken(self, operation: str) -> None:
        wait = self._scopes[operation].wait_seconds(self._clock())
        if wait > 0:
            raise Unavailable(self._target, f"{operation} paused", retry_after_seconds=wait)

    def _refuse_if_far(self, at: float, now: float) -> None:
        if at != NEVER and at - now > LONGEST_WAIT_SECONDS:
            raise Unavailable(self._target, "rate", retry_after_seconds=at - now)

    def _is_free(self, operation: str, at: float, now: float) -> bool:
        return self._free > 0 and at <= now and not self._waiting[operation]

    def _ready_at(self, operation: str, now: float, priority: Priority) -> float:
        counts = self._counts[operation]
        if not counts:
            return now
        if priority.is_live:
            return max(one.free_at(now, 0.0) for one in counts)
        return max(self._next_replayed.get(operation, now), *(one.free_at(now, self._reserve) for one in counts))

    def _take(self, operation: str, now: float, priority: Priority) -> list[Ticket]:
        self._free -= 1
        counts = self._counts[operation]
        if counts and not priority.is_live:  # spread: a live document then never finds a window emptied by a burst of replays
            gap = max(one.window.seconds / one.limit(self._reserve) for one in counts)
            self._next_replayed[operation] = max(now, self._next_replayed.get(operation, now)) + gap
        return [one.take(now) for one in counts]

    def _give_back(self, operation: str, tickets: list[Ticket]) -> None:
        self._free += 1
        now = self._clock()
        for count, ticket in zip(self._counts[operation], tickets, strict=True):
            count.give_back(ticket, now)
        self._scopes[operation].end_probe()
        self._wake()

    async def _wait(self, operation: str, priority: Priority) -> list[Ticket]:
        """Stand in line. Raises Unavailable when others were served for too long."""
        self._serial += 1
        turn: asyncio.Future[list[Ticket]] = asyncio.get_running_loop().create_future()
        heappush(self._waiting[operation], Waiter(priority, self._serial, self._clock(), turn))
        self._wake()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._give_back(operation, turn.result())
            raise

    def _wake(self) -> None:
        """Give turns to those who may go, the most urgent first; set the alarm for the next."""
        now, soonest = self._clock(), NEVER
        heads: list[tuple[Waiter, str]] = [(line[0], name) for name, line in self._waiting.items() if line]
        heapify(heads)
        while heads:
            waiter, name = heads[0]
            line = self._waiting[name]
            at = now if waiter.turn.done() else self._ready_at(name, now, waiter.priority)
            if at > now and now - waiter.since < LONGEST_WAIT_SECONDS:
                soonest = min(soonest, at)
                heappop(heads)
                continue
            if not waiter.turn.done():
                if at > now:
                    waiter.turn.set_exception(Unavailable(self._target, "rate", retry_after_seconds=min(at - now, LONGEST_WAIT_SECONDS)))
                elif self._free > 0:
                    waiter.turn.set_result(self._take(name, now, waiter.priority))
                else:
                    break
            heappop(line)
            if line:
                heapreplace(heads, (line[0], name))
            else:
                heappop(heads)
        if soonest != NEVER and (self._alarm is None or soonest < self._alarm_at):
            self._set_alarm(soonest)

    def _set_alarm(self, at: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = asyncio.create_task(self._ring(at))

    async def _ring(self, at: float) -> None:
        await self._sleep(max(at - self._clock(), SHORTEST_SLEEP_SECONDS))
        self._alarm = None
        self._wake()
