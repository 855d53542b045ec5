"""The synchronization log: each outcome becomes exactly one row; a record that is no outcome becomes a row of the desk."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from services.audit.core import STAGE, Row, Unreadable, bounded, desk_id, row_of
from services.audit.positions import Overtaken, Step, Stored, store_batch
from shared.delivery.records import Record
from shared.identity import digest
from shared.logs import get_logger
from shared.outcomes import Reason

MAX_TIMESTAMP_MS = 253_402_300_799_000  # the last second of year 9999
log = get_logger(__name__)


async def record_outcomes(pool: Any, step: Step, records: Sequence[Record]) -> Stored | Overtaken:
    """Write a partition's records, in order, and move its position in one transaction. Raises Unavailable."""
    rows: list[Row] = []
    aside: list[Row] = []
    for record in records:
        row = row_of(record.value)
        if isinstance(row, Unreadable):
            aside.append(desk_row(record, row.where))
        else:
            rows.append(row)
    stored = await store_batch(pool, step, {"append_outcomes": rows, "append_quarantined": aside})
    if aside and isinstance(stored, Stored):
        for row in aside:
            log.warning("outcome_set_aside", stage=STAGE, topic=row[2], partition=row[3], offset=row[4], reason=row[5], where=row[6])
    return stored


def desk_row(record: Record, where: str, defect: str | None = None) -> Row:
    """How a record that audit cannot keep lies on the desk: its place and digest; the bytes stay in Kafka."""
    value = record.value or b""
    return (
        desk_id(record.topic, record.partition, record.offset),
        STAGE,
        record.topic,
        record.partition,
        record.offset,
        str(Reason.DEFECT if defect else Reason.MALFORMED_ENVELOPE),
        where,
        defect,
        None,
        None,
        None,
        digest(value),
        len(value),
        None,
        datetime.fromtimestamp(bounded(record.timestamp_ms, MAX_TIMESTAMP_MS) / 1000, UTC),
    )
