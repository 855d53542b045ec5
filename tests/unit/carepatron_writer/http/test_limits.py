"""Turns for requests: order, pauses, the breaker of an operation, what becomes of those who wait. All in virtual time."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from services.carepatron_writer.platforms.http import Limits
from services.carepatron_writer.platforms.http.limits import LONGEST_WAIT_SECONDS
from services.carepatron_writer.platforms.http.scopes import FAILURES
from services.carepatron_writer.platforms.port import PRIORITY, Priority
from shared.errors import Unavailable
from tests.unit.carepatron_writer.http.virtual import MONOTONIC, a_window, limits_of, now, run


@contextmanager
def priority(chosen: Priority) -> Iterator[None]:
    """Everything inside is done for a record of this priority."""
    token = PRIORITY.set(chosen)
    try:
        yield
    finally:
        PRIORITY.reset(token)


async def ask(limits: Limits, operation: str = "write", *, seconds: float = 0.0, of: Priority = Priority.LIVE) -> float:
    """One request; when it went."""
    with priority(of):
        async with limits.turn(operation):
            sent = now() - MONOTONIC
            await asyncio.sleep(seconds)
    return round(sent, 6)


async def refusal(limits: Limits, operation: str = "write", *, of: Priority = Priority.LIVE) -> Unavailable:
    """Why a request does not go."""
    try:
        await ask(limits, operation, of=of)
    except Unavailable as error:
        return error
    raise AssertionError("it went")


def _break(limits: Limits, operation: str = "write") -> None:
    for _ in range(FAILURES):
        limits.note(operation, is_outage=True)
        limits.note("other", is_outage=False)


# --- windows ---


def test_without_a_window_everybody_goes_at_once() -> None:
    async def work() -> list[float]:
        limits = limits_of()
        return await asyncio.gather(*(ask(limits, of=one) for one in Priority for _ in range(5)))

    assert run(work()) == [0.0] * 20


def test_a_turn_soon_is_waited_for_and_one_far_away_is_an_outage_of_the_lane_only() -> None:
    async def work() -> tuple[list[float], Unavailable]:
        near, far = limits_of(a_window(2, 1)), limits_of(a_window(2, 60))
        times = [await ask(near) for _ in range(5)]
        await asyncio.gather(ask(far), ask(far))
        return times, await refusal(far)

    times, error = run(work())

    assert times == [0.0, 0.0, 1.0, 1.0, 2.0]
    assert (error.retry_after_seconds, error.is_target_down, error.why) == (60.0, False, "rate")


def test_a_window_of_the_key_counts_all_operations_and_one_of_the_endpoint_each_by_itself() -> None:
    async def work(scope: str, operations: tuple[str, ...] = ()) -> list[float]:
        limits = limits_of(a_window(1, 1, scope=scope, operations=operations))
        return await asyncio.gather(*(ask(limits, one) for one in ("read", "write", "other")))

    assert run(work("key")) == [0.0, 1.0, 2.0]
    assert run(work("clinic")) == [0.0, 1.0, 2.0]
    assert run(work("endpoint")) == [0.0, 0.0, 0.0]
    assert run(work("key", ("read", "write"))) == [0.0, 1.0, 0.0]


def test_several_windows_hold_at_once() -> None:
    async def work() -> list[float]:
        limits = limits_of(a_window(2, 1), a_window(3, 1.5))
        return [await ask(limits) for _ in range(5)]

    assert run(work()) == [0.0, 0.0, 1.0, 1.5, 2.0]


def test_no_more_than_allowed_are_in_flight() -> None:
    async def work() -> list[float]:
        limits = limits_of(in_flight=3)
        return await asyncio.gather(*(ask(limits, seconds=1.0) for _ in range(8)))

    assert run(work()) == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 2.0]


# --- who goes first ---


def test_live_goes_before_replayed_and_corrections_before_new_ones_of_their_kind() -> None:
    asked = [Priority.REPLAYED, Priority.LIVE, Priority.REPLAYED_CORRECTION, Priority.LIVE_CORRECTION] * 2

    async def work() -> list[Priority]:
        limits, went = limits_of(in_flight=1), list[Priority]()

        async def one(of: Priority) -> None:
            await ask(limits, seconds=0.1, of=of)
            went.append(of)

        holder = asyncio.create_task(ask(limits, seconds=1.0))
        await asyncio.sleep(0)
        await asyncio.gather(*(one(of) for of in asked))
        await holder
        return went

    assert run(work()) == sorted(asked)


def test_those_of_one_priority_go_as_they_came() -> None:
    async def work() -> list[int]:
        limits, went = limits_of(in_flight=1), list[int]()

        async def one(number: int) -> None:
            await ask(limits, seconds=0.1)
            went.append(number)

        await asyncio.gather(*(one(number) for number in range(9)))
        return went

    assert run(work()) == list(range(9))


def test_replays_leave_the_reserve_to_live_ones() -> None:
    async def work() -> tuple[list[float], list[float]]:
        limits = limits_of(a_window(10, 10), live_reserve=0.3)
        replayed = [await ask(limits, of=Priority.REPLAYED) for _ in range(7)]
        return replayed, [await ask(limits) for _ in range(3)]

    replayed, live = run(work())

    assert live == [replayed[-1]] * 3
    assert replayed[-1] < 10


def test_replays_are_spread_over_the_window_whatever_they_call() -> None:
    async def work() -> list[float]:
        limits = limits_of(a_window(5, 4), live_reserve=0.2)
        return sorted(await asyncio.gather(*(ask(limits, one, of=Priority.REPLAYED) for one in ("read", "write", "other"))))

    assert run(work()) == [0.0, 1.0, 2.0]


def test_a_live_one_of_another_operation_is_not_overtaken_where_the_window_is_shared() -> None:
    async def work() -> list[str]:
        limits, went = limits_of(a_window(1, 1)), list[str]()

        async def one(operation: str, of: Priority) -> None:
            await ask(limits, operation, of=of)
            went.append(operation)

        await one("read", Priority.LIVE)
        live = asyncio.create_task(one("write", Priority.LIVE))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_at(
            MONOTONIC + 1.0 - 5e-10, lambda: tasks.append(asyncio.create_task(one("other", Priority.REPLAYED)))
        )
        tasks: list[asyncio.Task[None]] = []
        await live
        await asyncio.gather(*tasks)
        return went

    assert run(work()) == ["read", "write", "other"]


def test_the_rate_for_replays_is_that_of_the_tightest_window() -> None:
    of = ("read", "write")

    assert limits_of().writes_per_second(of) is None
    assert limits_of(a_window(100, 60), live_reserve=0.1).writes_per_second(of) == pytest.approx(90 / 60 / 2)
    assert limits_of(a_window(100, 60, scope="endpoint"), live_reserve=0.1).writes_per_second(of) == pytest.approx(90 / 60)
    assert limits_of(a_window(100, 60), a_window(1_000, 86_400), live_reserve=0.1).writes_per_second(("write",)) == pytest.approx(
        900 / 86_400
    )
    assert limits_of(a_window(100, 60, operations=("other",))).writes_per_second(of) is None


def test_replays_reach_the_rate_that_is_promised() -> None:
    async def work() -> tuple[float, float | None]:
        limits = limits_of(a_window(30, 3), live_reserve=0.1)
        done = 0

        async def lane() -> None:
            nonlocal done
            while now() - MONOTONIC < 300:
                try:
                    await ask(limits, of=Priority.REPLAYED)
                    done += 1
                except Unavailable as error:
                    await asyncio.sleep(error.retry_after_seconds or 0.1)

        await asyncio.gather(*(lane() for _ in range(16)))
        return done / 300, limits.writes_per_second(("write",))

    rate, promised = run(work())

    assert rate == pytest.approx(promised, rel=0.05)


# --- waiting ends ---


def test_a_cancelled_waiter_gives_its_turn_to_the_next() -> None:
    async def work() -> float:
        limits = limits_of(a_window(1, 1))
        await ask(limits)
        first, second = asyncio.create_task(ask(limits)), asyncio.create_task(ask(limits))
        await asyncio.sleep(0.5)
        first.cancel()
        return await second

    assert run(work()) == 1.0


def test_a_waiter_cancelled_after_its_turn_came_gives_it_back_unused() -> None:
    async def work() -> float:
        limits = limits_of(a_window(1, 1, operations=("write",)), in_flight=1)

        async def hand_over_and_cancel() -> None:
            await ask(limits, "read", seconds=0.5)
            waiter.cancel()  # the turn is its own since a moment, and it does not know

        holder = asyncio.create_task(hand_over_and_cancel())
        await asyncio.sleep(0)
        waiter = asyncio.create_task(ask(limits))
        await asyncio.gather(holder, waiter, return_exceptions=True)
        return await ask(limits)

    assert run(work()) == 0.5


def test_a_cancelled_request_counts_as_sent_and_frees_its_place() -> None:
    async def work() -> float:
        limits = limits_of(a_window(1, 1), in_flight=1)
        task = asyncio.create_task(ask(limits, seconds=60))
        await asyncio.sleep(0.25)
        task.cancel()
        return await ask(limits)

    assert run(work()) == 1.25


def test_nobody_waits_longer_for_a_window_than_the_longest_wait() -> None:
    async def work() -> tuple[float, Unavailable]:
        limits = limits_of(a_window(1, 1.5), in_flight=8)
        await ask(limits)
        other = asyncio.create_task(ask(limits, "read", of=Priority.LIVE_CORRECTION, seconds=30))  # gets the turn at 1.5 and keeps it
        await asyncio.sleep(0)
        error = await refusal(limits)
        waited = now() - MONOTONIC
        other.cancel()
        return waited, error

    waited, error = run(work())

    assert waited == pytest.approx(LONGEST_WAIT_SECONDS)
    assert (error.why, error.is_target_down, error.retry_after_seconds) == ("rate", False, LONGEST_WAIT_SECONDS)


def test_a_replay_behind_a_stream_of_live_ones_gives_its_worker_back() -> None:
    async def work() -> float:
        limits = limits_of(a_window(2, 1))

        async def live() -> None:
            while True:
                await ask(limits)

        streams = [asyncio.create_task(live()) for _ in range(4)]
        await asyncio.sleep(0.1)
        began = now()
        await refusal(limits, of=Priority.REPLAYED)
        for one in streams:
            one.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
        return now() - began

    assert run(work()) <= LONGEST_WAIT_SECONDS + 1e-6


def test_who_only_waits_for_others_to_end_may_stay() -> None:
    async def work() -> list[float]:
        limits = limits_of(a_window(100, 60), in_flight=1)
        return await asyncio.gather(*(ask(limits, seconds=3.0) for _ in range(3)))

    assert run(work()) == [0.0, 3.0, 6.0]


def test_a_hung_request_does_not_keep_others_waiting_for_ever() -> None:
    async def work() -> Unavailable:
        limits = limits_of(a_window(1, 1))
        hung = asyncio.create_task(ask(limits, seconds=1e9))
        await asyncio.sleep(0)
        error = await refusal(limits)
        hung.cancel()
        return error

    assert run(work()).why == "rate"


def test_after_closing_no_alarm_is_left() -> None:
    async def work() -> set[object]:
        limits = limits_of(a_window(1, 1))
        await ask(limits)
        waiter = asyncio.create_task(ask(limits))
        await asyncio.sleep(0)
        waiter.cancel()
        await limits.aclose()
        await asyncio.sleep(0)
        return {one for one in asyncio.all_tasks() if one is not asyncio.current_task()}

    assert run(work()) == set()


# --- pauses and the breaker ---


def test_a_pause_of_the_account_holds_every_operation_and_the_longer_one_stands() -> None:
    async def work() -> tuple[list[Unavailable], float]:
        limits = limits_of()
        limits.pause("write", 30, is_for_all=True)
        limits.pause("write", 5, is_for_all=True)
        errors = [await refusal(limits, one) for one in ("read", "write")]
        await asyncio.sleep(30)
        return errors, await ask(limits)

    errors, went = run(work())

    assert [(one.retry_after_seconds, one.is_target_down) for one in errors] == [(30.0, True)] * 2
    assert went == 30.0


def test_a_pause_of_one_operation_leaves_the_others_alone() -> None:
    async def work() -> tuple[Unavailable, float, float]:
        limits = limits_of()
        limits.pause("write", 30, is_for_all=False)
        error, other = await refusal(limits), await ask(limits, "read")
        await asyncio.sleep(30)
        return error, other, await ask(limits)

    error, other, went = run(work())

    assert (error.retry_after_seconds, error.is_target_down) == (30.0, False)
    assert (other, went) == (0.0, 30.0)


def test_those_in_line_do_not_go_when_a_pause_comes() -> None:
    async def work() -> Unavailable:
        limits = limits_of(a_window(1, 1))
        await ask(limits)
        waiting = asyncio.create_task(refusal(limits))
        await asyncio.sleep(0.5)
        limits.pause("write", 30, is_for_all=True)
        return await waiting

    assert run(work()).why == "paused"


@pytest.mark.parametrize("is_for_all", [True, False])
def test_who_is_refused_by_a_pause_uses_nothing_up(is_for_all: bool) -> None:
    async def work() -> list[float]:
        limits = limits_of(a_window(3, 60))
        limits.pause("write", 5, is_for_all=is_for_all)
        for _ in range(10):
            await refusal(limits)
        await asyncio.sleep(5)
        return [await ask(limits) for _ in range(3)]

    assert run(work()) == [5.0] * 3


def test_the_question_for_room_sees_pauses_and_far_windows() -> None:
    async def work() -> list[str]:
        limits, found = limits_of(a_window(1, 60, operations=("write",))), list[str]()

        def check(operation: str) -> None:
            try:
                limits.check(operation)
                found.append("room")
            except Unavailable as error:
                found.append(error.why)

        check("write")
        await ask(limits)
        check("write")
        check("read")
        limits.pause("read", 9, is_for_all=False)
        check("read")
        limits.pause("read", 9, is_for_all=True)
        check("other")
        return found

    assert run(work()) == ["room", "rate", "room", "read paused", "paused"]


def test_an_operation_that_fails_while_others_work_gets_one_probe_at_a_time() -> None:
    async def work() -> tuple[Unavailable, list[str], float]:
        limits = limits_of()
        _break(limits)
        first = await refusal(limits)
        await asyncio.sleep(first.retry_after_seconds or 0)
        probe = asyncio.create_task(ask(limits, seconds=5))
        await asyncio.sleep(0)
        others = [(await refusal(limits)).why for _ in range(5)]
        await ask(limits, "read")  # another operation knows nothing of it
        await probe
        limits.note("write", is_outage=False)
        return first, others, max(await asyncio.gather(*(ask(limits) for _ in range(10))))

    first, others, went = run(work())

    assert (first.retry_after_seconds, first.is_target_down) == (1.0, False)
    assert others == ["write paused"] * 5
    assert went == 6.0


def test_a_probe_that_fails_makes_the_next_one_wait_longer() -> None:
    async def work() -> list[float]:
        limits, waits = limits_of(), list[float]()
        _break(limits)
        for _ in range(5):
            error = await refusal(limits)
            waits.append(round(error.retry_after_seconds or 0, 3))
            await asyncio.sleep(error.retry_after_seconds or 0)
            await ask(limits)
            limits.note("write", is_outage=True)
        return waits

    assert run(work()) == [1.0, 2.0, 4.0, 8.0, 10.0]


def test_a_probe_that_is_cancelled_makes_room_for_another() -> None:
    async def work() -> float:
        limits = limits_of()
        _break(limits)
        await asyncio.sleep(1)
        probe = asyncio.create_task(ask(limits, seconds=60))
        await asyncio.sleep(0)
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        return await ask(limits)

    assert run(work()) == 1.0


def test_requests_from_before_the_breaker_opened_do_not_end_the_probe() -> None:
    async def work() -> str:
        limits = limits_of()
        old = asyncio.create_task(ask(limits, seconds=2))
        await asyncio.sleep(0)
        _break(limits)
        await asyncio.sleep(1)
        probe = asyncio.create_task(ask(limits, seconds=5))
        await old
        error = await refusal(limits)
        await probe
        return error.why

    assert run(work()) == "write paused"


def test_when_nothing_works_no_operation_is_singled_out() -> None:
    async def work() -> float:
        limits = limits_of()
        for _ in range(5 * FAILURES):
            limits.note("write", is_outage=True)
        return await ask(limits)

    assert run(work()) == 0.0


@pytest.mark.parametrize(("scope", "is_shared"), [("key", True), ("clinic", True), ("endpoint", False), (None, True)])
def test_a_limit_that_was_met_holds_for_others_unless_each_endpoint_has_its_own(scope: str | None, is_shared: bool) -> None:
    limits = limits_of(*([a_window(1, 1, scope=scope)] if scope else []))

    assert limits.is_shared("write") is is_shared
