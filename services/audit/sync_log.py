"""The synchronization log: each outcome becomes exactly one row; a record that is no outcome becomes a row of the desk."""

from collections.abc import Sequence
from typing import Any

from services.audit.appending import Appender
from services.audit.core import LogRow, Row, Unreadable, row_of
from services.audit.desk import STAGE, desk_row
from services.audit.positions import Overtaken, Step, Stored, store_batch
from shared.delivery.records import Record
from shared.logs import get_logger

log = get_logger(__name__)


async def record_outcomes(pool: Any, step: Step, records: Sequence[Record], appender: Appender | None = None) -> Stored | Overtaken:
    """Write a partition's records, in order, and move its position in one transaction. Raises Unavailable."""
    rows: list[LogRow] = []
    aside: list[Row] = []
    for record in records:
        row = row_of(record.value)
        if isinstance(row, Unreadable):
            aside.append(desk_row(record, row.where))
        else:
            rows.append(row)
    stored = await store_batch(pool, step, aside, rows, appender)
    if isinstance(stored, Stored):
        for _, _, topic, partition, offset, reason, where, *_ in aside:
            log.warning("outcome_set_aside", stage=STAGE, topic=topic, partition=partition, offset=offset, reason=reason, where=where)
    return stored
