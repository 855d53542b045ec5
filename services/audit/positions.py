"""How far a group has read, kept in PostgreSQL in the same transaction as what it read: exactly one row for each record.

A zombie (a consumer that lost its partition and does not know) believes in an older position; its compare-and-set fails and takes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.audit.appending import Appender
from services.audit.core import LogRow, Row
from shared.postgres import guarded, load_queries

SQL = load_queries("services.audit")


@dataclass(frozen=True, slots=True)
class Step:
    """One batch of one partition: from where we believe the group stands (None: nowhere yet) to the next offset."""

    group: str
    topic: str
    partition: int
    expected: int | None
    next_offset: int


@dataclass(frozen=True, slots=True)
class Stored:
    """The batch is in PostgreSQL; `inserted` rows were new."""

    inserted: int


@dataclass(frozen=True, slots=True)
class Overtaken:
    """Somebody else has moved the position; nothing was written. `next_offset` is where the group stands now."""

    next_offset: int | None


class _Lost(Exception):
    """Rolls the transaction back."""


async def read_position(pool: Any, group: str, topic: str, partition: int) -> int | None:
    """The next offset of a partition, None when nothing was read yet. Raises Unavailable."""
    async with guarded():
        found: int | None = await pool.fetchval(SQL["read_position"], group, topic, partition)
        return found


async def store_batch(
    pool: Any, step: Step, aside: Sequence[Row], outcomes: Sequence[LogRow] = (), appender: Appender | None = None
) -> Stored | Overtaken:
    """Append rows to the desk and to the log, and move the position, all or nothing. Raises Unavailable; a repetition changes nothing."""
    place = (step.group, step.topic, step.partition)
    log = appender or Appender()
    try:
        async with guarded(), pool.acquire() as connection, connection.transaction():
            if step.expected is None:
                moved = await connection.fetchval(SQL["begin_position"], *place, step.next_offset)
            else:
                moved = await connection.fetchval(SQL["advance_position"], *place, step.next_offset, step.expected)
            if moved is None:
                raise _Lost
            inserted = await log.append(connection, step.partition, outcomes)
            if aside:
                done: str = await connection.execute(SQL["append_quarantined"], *zip(*aside, strict=True))
                inserted += int(done.rsplit(" ", 1)[1])
            return Stored(inserted)
    except _Lost:
        log.forget()
        return Overtaken(await read_position(pool, *place))
    except BaseException:
        log.forget()
        raise
