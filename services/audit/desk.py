"""The quarantine desk: each document that a stage set aside becomes one row, open until somebody releases or discards it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from services.audit.core import MAX_BIGINT, MAX_INT, Row, Unreadable, bounded, clean, desk_id, moment_of, uuid_of
from services.audit.positions import Overtaken, Step, Stored, store_batch
from shared.delivery.records import Record
from shared.identity import digest
from shared.outcomes import Reason

STAGE = "audit"  # the stage of records that audit itself could not read
MAX_TIMESTAMP_MS = 253_402_300_799_000  # the last second of year 9999


class QuarantinedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A quarantine event as the desk reads it; fields of newer versions are ignored."""

    id: str  # outcome id
    stage: str
    topic: str
    partition: int
    offset: int
    timestamp: str
    reason: str | None = None
    where: str | None = None
    defect: str | None = None
    provider_id: str | None = None
    document_id: str | None = None
    patient_key: str | None = None
    sha256: str | None = None
    size: int | None = None
    contentref: str | None = None


DECODER = msgspec.json.Decoder(QuarantinedDocument)


async def record_quarantined(pool: Any, step: Step, records: Sequence[Record]) -> Stored | Overtaken:
    """Write a partition's quarantine events and move its position in one transaction. Raises Unavailable."""
    rows = []
    for record in records:
        row = quarantined_row(record.value)
        rows.append(desk_row(record, row.where) if isinstance(row, Unreadable) else row)
    return await store_batch(pool, step, rows)


def quarantined_row(value: bytes | None) -> Row | Unreadable:
    """The desk's row of one quarantine event (pure)."""
    try:
        event = DECODER.decode(value or b"")
    except (msgspec.MsgspecError, RecursionError):
        return Unreadable("value")
    key, moment = uuid_of(event.id), moment_of(event.timestamp)
    stage, topic = clean(event.stage), clean(event.topic)
    if key is None:
        return Unreadable("id")
    if moment is None:
        return Unreadable("timestamp")
    if stage is None or topic is None or not 0 <= event.partition <= MAX_INT or not 0 <= event.offset <= MAX_BIGINT:
        return Unreadable("offset")
    return (
        key,
        stage,
        topic,
        event.partition,
        event.offset,
        clean(event.reason),
        clean(event.where),
        clean(event.defect),
        clean(event.provider_id),
        uuid_of(event.document_id),
        uuid_of(event.patient_key),
        clean(event.sha256),
        None if event.size is None else bounded(event.size, MAX_BIGINT),
        clean(event.contentref),
        moment,
    )


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
