import asyncio

import pytest

from shared.delivery.coalescing import CoalescingWriter
from shared.errors import Unavailable


class Target:
    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.poison: set[int] = set()
        self.is_down = False
        self.now = self.most = 0
        self.pause = 0.0

    async def write(self, items: list[int]) -> list[int]:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self.pause)
            self.batches.append(list(items))
            if self.is_down:
                raise Unavailable("postgres")
            if self.poison & set(items):
                raise ValueError("poison")
            return [one * 10 for one in items]
        finally:
            self.now -= 1


def test_each_caller_gets_its_own_result_of_one_write():
    async def run() -> None:
        target = Target()
        writer = CoalescingWriter(target.write)

        results = await asyncio.gather(*(writer(one) for one in range(50)))

        assert [one * 10 for one in range(50)] == results
        assert len(target.batches) == 1

    asyncio.run(run())


def test_batches_are_bounded_and_so_are_writes_at_a_time():
    async def run() -> None:
        target = Target()
        target.pause = 0.005
        writer = CoalescingWriter(target.write, max_items=10, max_concurrent=2)

        results = await asyncio.gather(*(writer(one) for one in range(95)))

        assert [one * 10 for one in range(95)] == results
        assert max(len(one) for one in target.batches) == 10
        assert target.most == 2

    asyncio.run(run())


def test_one_bad_item_does_not_fail_its_neighbours():
    async def run() -> None:
        target = Target()
        target.poison = {3}
        writer = CoalescingWriter(target.write)

        results = await asyncio.gather(*(writer(one) for one in range(6)), return_exceptions=True)

        assert isinstance(results[3], ValueError)
        assert [one for one in results if not isinstance(one, Exception)] == [0, 10, 20, 40, 50]

    asyncio.run(run())


def test_an_outage_goes_to_every_caller_at_once():
    async def run() -> None:
        target = Target()
        target.is_down = True
        writer = CoalescingWriter(target.write)

        results = await asyncio.gather(*(writer(one) for one in range(6)), return_exceptions=True)

        assert all(isinstance(one, Unavailable) for one in results)
        assert len(target.batches) == 1

    asyncio.run(run())


def test_a_write_that_answers_for_too_few_is_a_defect_not_a_hang():
    async def short(items: list[int]) -> list[int]:
        return []

    async def run() -> None:
        with pytest.raises(ValueError, match="0 results for 1 items"):
            await CoalescingWriter(short)(1)

    asyncio.run(run())


def test_a_caller_that_gives_up_is_left_out():
    async def run() -> None:
        target = Target()
        writer = CoalescingWriter(target.write, max_wait_ms=20)
        gone = asyncio.create_task(writer(1))
        stays = asyncio.create_task(writer(2))
        await asyncio.sleep(0)
        gone.cancel()

        assert await stays == 20
        assert target.batches == [[2]]

    asyncio.run(run())


def test_closing_writes_what_waits():
    async def run() -> None:
        target = Target()
        writer = CoalescingWriter(target.write, max_wait_ms=60_000)
        waiting = asyncio.create_task(writer(1))
        await asyncio.sleep(0)

        await writer.aclose()

        assert await waiting == 10
        with pytest.raises(RuntimeError):
            await writer(2)

    asyncio.run(run())
