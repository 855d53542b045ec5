"""The Kafka edge with a fake store: positions are believed, corrected, and never guessed."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from services.audit import handlers
from services.audit.handlers import PartitionLog
from services.audit.positions import Overtaken, Step, Stored
from shared.delivery.records import Record
from shared.errors import Unavailable

TOPIC = "outcome.recorded.v1"


def records(first: int, count: int) -> list[Record]:
    """Some records of partition 4."""
    return [Record(TOPIC, 4, first + number, None, b"{}", (), 0) for number in range(count)]


class Store:
    """Remembers steps; answers as told."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.answer: Stored | Overtaken | Unavailable = Stored(1)

    async def write(self, _: Any, step: Step, __: Sequence[Record]) -> Stored | Overtaken:
        """One batch."""
        self.steps.append(step)
        if isinstance(self.answer, Unavailable):
            raise self.answer
        return self.answer


async def from_seven(_: str, __: int) -> int:
    """Where Kafka begins."""
    return 7


def at(monkeypatch: pytest.MonkeyPatch, position: int | None) -> None:
    """What PostgreSQL says."""

    async def read(*_: object) -> int | None:
        return position

    monkeypatch.setattr(handlers, "read_position", read)


def test_a_known_partition_goes_on_where_postgres_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, 40)
    store = Store()
    log = PartitionLog(None, "group", store.write, from_seven)

    assert asyncio.run(log.start_offset(TOPIC, 4)) == 40
    assert asyncio.run(log.on_batch((TOPIC, 4), records(40, 3))) == 43
    assert asyncio.run(log.on_batch((TOPIC, 4), records(43, 2))) == 45
    assert [(one.expected, one.next_offset) for one in store.steps] == [(40, 43), (43, 45)]


def test_an_unknown_partition_is_read_from_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, None)
    store = Store()
    log = PartitionLog(None, "group", store.write, from_seven)

    assert asyncio.run(log.start_offset(TOPIC, 4)) == 7
    asyncio.run(log.on_batch((TOPIC, 4), records(7, 2)))
    assert [(one.expected, one.next_offset) for one in store.steps] == [(None, 9)]


def test_an_overtaken_batch_goes_on_where_the_other_stands() -> None:
    store = Store()
    store.answer = Overtaken(90)
    log = PartitionLog(None, "group", store.write, from_seven)

    assert asyncio.run(log.on_batch((TOPIC, 4), records(40, 3))) == 90
    store.answer = Stored(1)
    asyncio.run(log.on_batch((TOPIC, 4), records(90, 1)))
    assert store.steps[-1].expected == 90


def test_an_outage_shows_and_passes() -> None:
    store = Store()
    store.answer = Unavailable("postgres")
    log = PartitionLog(None, "group", store.write, from_seven)

    with pytest.raises(Unavailable):
        asyncio.run(log.on_batch((TOPIC, 4), records(0, 1)))
    assert not log.is_reachable
    store.answer = Stored(1)
    asyncio.run(log.on_batch((TOPIC, 4), records(0, 1)))
    assert log.is_reachable
    assert store.steps[0] == store.steps[1]
