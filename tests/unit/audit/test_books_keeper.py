"""The books in the background: an outage or a defect keeps the last state."""

import asyncio
from datetime import UTC, datetime

from services.audit.bookkeeping import Books
from services.audit.books_keeper import BooksKeeper
from shared.errors import Unavailable

BOOKS = Books(datetime(2026, 11, 23, 14, 5, tzinfo=UTC), ())


def test_the_last_state_outlives_an_outage_and_a_defect() -> None:
    answers: list[Books | Exception] = [Unavailable("kafka"), BOOKS, Unavailable("kafka"), KeyError("x")]

    async def check() -> Books:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def story() -> None:
        keeper = BooksKeeper(check, interval_seconds=5)
        rests = []
        states = []
        for _ in range(4):
            rests.append(await keeper.check())
            states.append(keeper.latest)
        assert states == [None, BOOKS, BOOKS, BOOKS]
        assert min(rests) >= 5

    asyncio.run(story())


def test_it_checks_again_and_stops_when_told() -> None:
    async def story() -> None:
        seen = asyncio.Event()
        count = 0

        async def check() -> Books:
            nonlocal count
            count += 1
            if count == 3:
                seen.set()
            return BOOKS

        keeper = BooksKeeper(check, interval_seconds=0.001)
        await keeper.start()
        async with asyncio.timeout(5):
            await seen.wait()
        await keeper.stop()

    asyncio.run(story())
