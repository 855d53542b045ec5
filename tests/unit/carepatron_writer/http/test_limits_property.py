"""Whatever is asked, whenever and for however long: a server that counts never sees more than its windows hold; live ones do not starve."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from services.carepatron_writer.platforms.http import Limits
from services.carepatron_writer.platforms.http.limits import LONGEST_WAIT_SECONDS
from services.carepatron_writer.platforms.http.windows import GUARD_SECONDS
from services.carepatron_writer.platforms.port import PRIORITY, Priority
from services.carepatron_writer.platforms.profile import Window
from shared.errors import Unavailable
from tests.unit.carepatron_writer.http.virtual import BEGIN, MONOTONIC, a_window, limits_of, now, run

NAMES = ("read", "write", "other")
HAIR = 1e-6  # what floating point may lose


@dataclass(frozen=True)
class Asked:
    """A request that somebody wants to make."""

    after: float
    operation: str
    priority: Priority
    seconds: float  # from sending to the answer
    seen: float  # when in between the platform counts it, 0 to 1
    cancelled_after: float | None  # its record was taken away


@dataclass
class Server:
    """Counts arrivals; its clock is not ours."""

    skew: float = 0.0
    arrivals: list[tuple[float, str]] = field(default_factory=list)

    def see(self, operation: str) -> None:
        """A request has arrived."""
        self.arrivals.append((now(), operation))

    def most(self, window: Window) -> int:
        """The most that any window of this kind held."""
        concerned = window.operations or NAMES
        groups = [{one} for one in concerned] if window.scope == "endpoint" else [set(concerned)]
        return max(self._most(window, [at for at, operation in sorted(self.arrivals) if operation in group]) for group in groups)

    def _most(self, window: Window, times: list[float]) -> int:
        if window.kind == "calendar":
            walls = [BEGIN + one - MONOTONIC + self.skew for one in times]
            return max(Counter(int(one // window.seconds) for one in walls).values(), default=0)
        return max((sum(end - window.seconds + HAIR < one <= end for one in times) for end in times), default=0)


windows = some.builds(
    lambda requests, seconds, scope, kind, operations: a_window(requests, seconds, scope=scope, kind=kind, operations=operations),
    some.integers(1, 6),
    some.sampled_from((0.5, 1.0, 7.0, 60.0)),
    some.sampled_from(("key", "clinic", "endpoint")),
    some.sampled_from(("rolling", "calendar")),
    some.sampled_from(((), ("read",), ("read", "write"))),
)
requests = some.builds(
    Asked,
    after=some.floats(0, 8),
    operation=some.sampled_from(NAMES),
    priority=some.sampled_from(Priority),
    seconds=some.one_of(some.just(0.0), some.floats(0, 4), some.floats(0, 30)),
    seen=some.floats(0, 1),
    cancelled_after=some.one_of(some.none(), some.none(), some.floats(0, 10)),
)


async def _request(limits: Limits, server: Server, asked: Asked) -> None:
    async with limits.turn(asked.operation):
        await asyncio.sleep(asked.seconds * asked.seen)
        server.see(asked.operation)
        await asyncio.sleep(asked.seconds * (1 - asked.seen))


async def _lane(limits: Limits, server: Server, asked: Asked, waits: list[float]) -> None:
    """As the delivery engine does: after an outage again, when we were told to come."""
    PRIORITY.set(asked.priority)
    await asyncio.sleep(asked.after)
    while True:
        began = now()
        try:
            await _request(limits, server, asked)
            return
        except Unavailable as error:
            waits.append(now() - began)
            await asyncio.sleep(max(error.retry_after_seconds or 0.0, 0.001))


async def _all(limits: Limits, server: Server, everything: list[Asked]) -> tuple[list[float], int]:
    """Everybody asks; how long those who were refused had waited, and how many came through."""
    waits: list[float] = []
    tasks = [asyncio.create_task(_lane(limits, server, one, waits)) for one in everything]
    for task, asked in zip(tasks, everything, strict=True):
        if asked.cancelled_after is not None:
            asyncio.get_running_loop().call_later(asked.cancelled_after, task.cancel)
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(one is None or isinstance(one, asyncio.CancelledError) for one in ended), ended
    return waits, sum(one is None for one in ended)


@settings(max_examples=120, deadline=None)
@given(some.lists(windows, min_size=1, max_size=3), some.lists(requests, max_size=24), some.integers(1, 6), some.floats(-0.99, 0.99))
def test_no_window_ever_holds_more_than_it_may(described: list[Window], everything: list[Asked], in_flight: int, skew: float) -> None:
    guard = min(GUARD_SECONDS, *(one.seconds / 10 for one in described))
    server = Server(skew=skew * guard)
    limits_seen = [one.requests for one in described]

    waits, done = run(_all(limits_of(*described, in_flight=in_flight), server, everything))

    assert [most <= limit for most, limit in zip(map(server.most, described), limits_seen, strict=True)] == [True] * len(described)
    assert done >= sum(one.cancelled_after is None for one in everything)
    longest = max((one.seconds for one in everything), default=0.0)
    assert max(waits, default=0.0) <= LONGEST_WAIT_SECONDS + len(everything) * longest + HAIR


@settings(max_examples=40, deadline=None)
@given(some.integers(10, 40), some.lists(some.floats(0, 120), min_size=1, max_size=40), some.floats(0, 2), some.sampled_from(NAMES))
def test_a_backlog_of_replays_does_not_hold_up_live_ones(per_window: int, moments: list[float], seconds: float, operation: str) -> None:
    """At most k requests beyond the reserve wait for k replays to leave the window.

    Replays were sent at least `gap` apart and at most per_window - reserve of them count, so the k-th to leave does so within k gaps
    and the length of one request; and a place in flight is free after the length of one request.
    """
    window = a_window(per_window, 10.0)
    reserve = max(1, int(per_window * 0.1))
    gap = 10.0 / (per_window - reserve)
    moments = _thinned(sorted(moments), most=reserve, span=10.0 + seconds + HAIR)

    async def work() -> list[float]:
        limits, server = limits_of(window, in_flight=4), Server()
        backlog = [asyncio.create_task(_replays(limits, server, seconds)) for _ in range(16)]
        waits = await asyncio.gather(*(_live(limits, server, one, operation, seconds) for one in moments))
        for one in backlog:
            one.cancel()
        await asyncio.gather(*backlog, return_exceptions=True)
        assert server.most(window) <= per_window
        return waits

    assert max(run(work())) <= seconds + HAIR

    async def burst() -> list[float]:
        limits, server = limits_of(window, in_flight=4), Server()
        backlog = [asyncio.create_task(_replays(limits, server, seconds)) for _ in range(16)]
        waits = await asyncio.gather(*(_live(limits, server, 30.0, operation, 0.0) for _ in range(reserve + 3)))
        for one in backlog:
            one.cancel()
        await asyncio.gather(*backlog, return_exceptions=True)
        return sorted(waits)

    waits = run(burst())
    for number, waited in enumerate(waits):
        beyond = max(0, number + 1 - reserve)
        assert waited <= beyond * gap + 2 * seconds + HAIR


def _thinned(moments: list[float], *, most: int, span: float) -> list[float]:
    """Moments of which no span holds more than so many: the live load that the reserve is made for."""
    kept: list[float] = []
    for one in moments:
        if len([other for other in kept if one - other <= 2 * span]) < most:
            kept.append(one)
    return kept


async def _replays(limits: Limits, server: Server, seconds: float) -> None:
    PRIORITY.set(Priority.REPLAYED)
    for number in range(10_000):
        try:
            await _request(limits, server, Asked(0, NAMES[number % 3], Priority.REPLAYED, seconds, 0.5, None))
        except Unavailable as error:
            await asyncio.sleep(max(error.retry_after_seconds or 0.0, 0.001))


async def _live(limits: Limits, server: Server, at: float, operation: str, seconds: float) -> float:
    """How long a live request waited for its turn, with all the comings back."""
    PRIORITY.set(Priority.LIVE)
    await asyncio.sleep(at)
    began = now()
    while True:
        try:
            async with limits.turn(operation):
                waited = now() - began
                server.see(operation)
                await asyncio.sleep(seconds)
                return waited
        except Unavailable as error:
            await asyncio.sleep(max(error.retry_after_seconds or 0.0, 0.001))


@pytest.mark.parametrize("kind", ["rolling", "calendar"])
def test_the_counting_server_would_notice(kind: str) -> None:
    """The check itself can fail: without limits the same load is too much."""
    window = a_window(3, 7.0, kind=kind)
    server = Server()
    everything = [Asked(0.1 * number, "write", Priority.LIVE, 0.0, 0.0, None) for number in range(8)]

    run(_all(limits_of(), server, everything))

    assert server.most(window) > 3
