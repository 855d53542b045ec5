"""Turns for requests."""

import asyncio

import pytest

from services.carepatron_writer.platforms.pace import Pace
from shared.errors import Unavailable


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def _pace(clock: _Clock, per_minute: int = 0, in_flight: int = 8) -> Pace:
    return Pace("carepatron", requests_per_minute=per_minute, in_flight=in_flight, clock=clock, sleep=clock.sleep)


async def _take(pace: Pace, times: int = 1) -> None:
    for _ in range(times):
        async with pace.turn():
            pass


def test_requests_are_spread_over_the_minute() -> None:
    clock = _Clock()

    asyncio.run(_take(_pace(clock, per_minute=60), 4))

    assert clock.slept == [1.0, 1.0, 1.0]


def test_a_turn_far_away_is_an_outage_of_the_lane_only() -> None:
    clock = _Clock()

    async def run() -> None:
        await _take(_pace(clock, per_minute=6), 2)

    with pytest.raises(Unavailable) as caught:
        asyncio.run(run())

    assert (caught.value.retry_after_seconds, caught.value.is_target_down) == (10.0, False)
    assert clock.slept == []


def test_a_pause_holds_everybody_and_the_longer_one_stands() -> None:
    clock = _Clock()

    async def run() -> None:
        pace = _pace(clock)
        pace.pause(30)
        pace.pause(5)
        await _take(pace)

    with pytest.raises(Unavailable) as caught:
        asyncio.run(run())

    assert (caught.value.retry_after_seconds, caught.value.is_target_down) == (30.0, True)


def test_after_the_pause_requests_go_out() -> None:
    clock = _Clock()

    async def run() -> None:
        pace = _pace(clock)
        pace.pause(30)
        clock.now += 30
        await _take(pace)

    asyncio.run(run())


def test_no_more_than_allowed_are_in_flight() -> None:
    async def run() -> int:
        pace, now, most = _pace(_Clock(), in_flight=3), 0, 0

        async def one() -> None:
            nonlocal now, most
            async with pace.turn():
                now += 1
                most = max(most, now)
                await asyncio.sleep(0)
                now -= 1

        await asyncio.gather(*(one() for _ in range(20)))
        return most

    assert asyncio.run(run()) == 3
