"""The Kafka edge: batches of one partition go to PostgreSQL with their offset, and PostgreSQL says where to go on."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from services.audit.desk import desk_row
from services.audit.positions import Overtaken, Step, Stored, read_position, store_batch
from shared.delivery.records import Record
from shared.errors import Unavailable

Place = tuple[str, int]
Write = Callable[[Any, Step, Sequence[Record]], Awaitable[Stored | Overtaken]]
FindBeginning = Callable[[str, int], Awaitable[int]]


class PartitionLog:
    """What the delivery engine calls for one group: where to start, a batch, a record that cannot be taken."""

    def __init__(self, pool: Any, group: str, write: Write, find_beginning: FindBeginning) -> None:
        self._pool = pool
        self._group = group
        self._write = write
        self._find_beginning = find_beginning
        self._positions: dict[Place, int | None] = {}  # where we believe PostgreSQL stands
        self.is_reachable = True  # what the last try found

    async def start_offset(self, topic: str, partition: int) -> int | None:
        """Where PostgreSQL stands. Without a position everything that Kafka still has is read: the log can be rebuilt from it."""
        position = await read_position(self._pool, self._group, topic, partition)
        self._positions[topic, partition] = position
        return await self._find_beginning(topic, partition) if position is None else position

    async def on_batch(self, place: Place, records: list[Record]) -> int:
        """Store a batch; returns where the partition stands afterwards, which is elsewhere when somebody was faster."""
        return await self._store(place, records, self._write)

    async def on_poison(self, record: Record, defect: str) -> int:
        """Lay a record that the log cannot take on the desk and go on behind it."""

        async def write(pool: Any, step: Step, records: Sequence[Record]) -> Stored | Overtaken:
            return await store_batch(pool, step, [desk_row(one, "record", defect) for one in records])

        return await self._store((record.topic, record.partition), [record], write)

    async def _store(self, place: Place, records: list[Record], write: Write) -> int:
        step = Step(self._group, *place, self._positions.get(place), records[-1].offset + 1)
        try:
            stored = await write(self._pool, step, records)
        except Unavailable:
            self.is_reachable = False
            raise
        self.is_reachable = True
        if isinstance(stored, Overtaken):
            self._positions[place] = stored.next_offset
            return records[0].offset if stored.next_offset is None else stored.next_offset
        self._positions[place] = step.next_offset
        return step.next_offset
