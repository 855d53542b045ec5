"""The books, read: every offset that Kafka holds and every coordinate that a stage passed on must be accounted for in the log.

Order of looking, so that work in progress is never called missing: what the groups have committed, then where the outcomes end, then the
log in one snapshot. A record below the commit has its outcome before that end; what audit has not read yet is looked up in Kafka.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from services.audit import kafka_reading
from services.audit.bookkeeping import (
    HOPS,
    NAMED_AT_MOST,
    STAGE_OF,
    Books,
    Counted,
    Gap,
    HopSums,
    Missing,
    Span,
    equations,
    split_gaps,
)
from shared import topics
from shared.delivery.records import Record
from shared.events import read_headers
from shared.outcomes import OutcomeRecorded, decode_outcome
from shared.postgres import guarded, load_queries, open_pool

SQL = load_queries("services.audit", "books.sql")
GROUP_OF = {topic: group for hop in HOPS for topic, group in hop.groups.items()}
OUTCOME_GROUP = {topics.OUTCOMES.name: topics.AUDIT_GROUP}
PENDING_AT_MOST = 200_000  # outcomes not yet read by audit that are looked through; beyond, nothing is called missing
PROBED_AT_MOST = 200  # offsets in flight that are looked at, to tell records from transaction markers
Place = tuple[str, int, int]


async def verify(database_url: str, bootstrap: str) -> Books:
    """Prove that every document is accounted for, or name what is missing. Raises Unavailable."""
    brokers = [one.strip() for one in bootstrap.split(",")]
    pool = await open_pool(database_url, application_name="healthcare-records-books", max_size=1, command_timeout=600)
    try:
        return await _verify(pool, brokers)
    finally:
        await pool.close()


async def _verify(pool: Any, brokers: list[str]) -> Books:
    at = datetime.now(UTC)
    spans = await kafka_reading.read_spans(brokers, GROUP_OF)
    outcome_spans = await kafka_reading.read_spans(brokers, OUTCOME_GROUP)
    async with guarded(), pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        gaps = [Gap(*row) for row in await connection.fetch(SQL["find_gaps"], *_columns(spans))]
        pending = await pending_gaps(connection, outcome_spans)
        counted = [Counted(*row) for row in await connection.fetch(SQL["count_outcomes"])]
        later = {(one.topic, one.partition): one.end for one in await kafka_reading.read_spans(brokers, GROUP_OF)}
        unreached = await connection.fetch(SQL["find_unreached"], *_reach(spans, later), NAMED_AT_MOST)
    found = await _look_into(brokers, spans, gaps)
    lost = [_lost(row) for row in unreached if row["topic"] is not None]
    excused = await _excuse(brokers, pending, {one.place for one in [*found.missing, *lost]})
    missing = {one.place: one for one in [*lost, *found.missing] if excused is not None and one.place not in excused}
    sums = _sums(spans, gaps, found, set(missing))
    open_items = {
        stage: (
            sum(row["items"] for row in unreached if row["from_stage"] == stage and row["topic"] is None)
            + sum(1 for row in unreached if row["from_stage"] == stage and row["topic"] is not None and _place(row) not in missing),
            sum(1 for row in unreached if row["from_stage"] == stage and row["topic"] is not None and _place(row) in missing),
        )
        for stage in {row["from_stage"] for row in unreached}
    }
    return Books(
        at=at,
        equations=equations(counted, sums, open_items),
        missing=tuple(sorted(missing.values(), key=lambda one: one.place)),
        missing_unnamed=0 if excused is None else found.unnamed,
        in_flight=sum(one.in_flight for one in sums.values()),
        waiting_for_audit=sum(one.size for one in pending),
        sums=sums,
    )


async def pending_gaps(connection: Any, outcome_spans: Iterable[Span]) -> list[Gap]:
    """Outcomes that are on the topic and not yet in the log."""
    rows = await connection.fetch(SQL["read_positions"], topics.AUDIT_GROUP, topics.OUTCOMES.name)
    positions = {row["partition"]: row["next_offset"] for row in rows}
    behind = (Gap(one.topic, one.partition, max(one.begin, positions.get(one.partition, one.begin)), one.end - 1) for one in outcome_spans)
    return [gap for gap in behind if gap.size]


async def read_pending(brokers: list[str], pending: list[Gap]) -> list[OutcomeRecorded] | None:
    """The outcomes that audit has not read yet; None when they are too many to look through."""
    if sum(gap.size for gap in pending) > PENDING_AT_MOST:
        return None
    outcomes = []
    async for record in kafka_reading.read_gaps(brokers, pending):
        try:
            outcomes.append(decode_outcome(record.value or b""))
        except msgspec.MsgspecError:
            continue  # audit will set it aside; it accounts for nothing
    return outcomes


class _Found:
    """What stands in Kafka at offsets without a row."""

    def __init__(self) -> None:
        self.missing: list[Missing] = []
        self.unnamed = 0
        self.holes: dict[str, int] = {}  # topic → offsets that hold no record
        self.in_flight: dict[str, int] = {}  # topic → records

    def name(self, one: Missing) -> None:
        """Keep it by name, or as a number when there are too many."""
        if len(self.missing) < NAMED_AT_MOST:
            self.missing.append(one)
        else:
            self.unnamed += 1


async def _look_into(brokers: list[str], spans: list[Span], gaps: list[Gap]) -> _Found:
    expired, owed, in_flight = split_gaps(spans, gaps)
    found = _Found()
    for gap in expired:
        for offset in range(gap.first, gap.last + 1):
            found.name(Missing(gap.topic, gap.partition, offset, STAGE_OF[gap.topic], "expired_unread"))
    for gap in owed:
        found.holes[gap.topic] = found.holes.get(gap.topic, 0) + gap.size
    async for record in kafka_reading.read_gaps(brokers, owed):
        found.holes[record.topic] -= 1
        found.name(_unaccounted(record))
    for gap in in_flight:
        found.in_flight[gap.topic] = found.in_flight.get(gap.topic, 0) + gap.size
    if 0 < sum(gap.size for gap in in_flight) <= PROBED_AT_MOST:
        held = dict.fromkeys(found.in_flight, 0)
        async for record in kafka_reading.read_gaps(brokers, in_flight):
            held[record.topic] += 1
        for topic, count in held.items():
            found.holes[topic] = found.holes.get(topic, 0) + found.in_flight[topic] - count
        found.in_flight = held
    return found


def _unaccounted(record: Record) -> Missing:
    """Name a record from its headers, as the stage would have."""
    seen = read_headers(record.headers)
    correlation_id = seen.get("correlationid") or seen.get("id") or record.place
    return Missing(
        record.topic,
        record.partition,
        record.offset,
        STAGE_OF[record.topic],
        "no_outcome",
        seen.get("documentid"),
        correlation_id,
        seen.get("providerid"),
    )


def _lost(row: Any) -> Missing:
    """Name what was passed on from the row that passed it on."""
    document_id = str(row["document_id"]) if row["document_id"] else None
    why = "expired_unread" if row["is_expired"] else "passed_on_without_outcome"
    return Missing(*_place(row), row["stage"] or "unknown", why, document_id, row["correlation_id"], row["provider"])


async def _excuse(brokers: list[str], pending: list[Gap], candidates: set[Place]) -> set[Place] | None:
    """Which candidates have an outcome that audit has not read yet; None: too many to tell, all are excused for now."""
    if not candidates or not pending:
        return set()
    outcomes = await read_pending(brokers, pending)
    return None if outcomes is None else candidates & {(one.topic, one.partition, one.offset) for one in outcomes}


def _sums(spans: list[Span], gaps: list[Gap], found: _Found, missing: set[Place]) -> dict[str, HopSums]:
    sums = {}
    for hop in HOPS:
        held = sum(one.end - one.low for one in spans if one.topic in hop.groups)
        without_row = sum(gap.size for gap in gaps if gap.topic in hop.groups)
        holes = sum(found.holes.get(topic, 0) for topic in hop.groups)
        candidates = {one.place for one in found.missing if one.topic in hop.groups}
        lost = len(candidates & missing)
        in_flight = sum(found.in_flight.get(topic, 0) for topic in hop.groups) + len(candidates) - lost
        sums[str(hop.stage)] = HopSums(held - holes, held - without_row, in_flight, lost)
    return sums


def _columns(spans: list[Span]) -> tuple[list[Any], ...]:
    return (
        [one.topic for one in spans],
        [one.partition for one in spans],
        [str(STAGE_OF[one.topic]) for one in spans],
        [one.low for one in spans],
        [one.end for one in spans],
    )


def _reach(spans: list[Span], later: dict[tuple[str, int], int]) -> tuple[list[Any], ...]:
    return (
        *_columns(spans)[:3],
        [one.done for one in spans],
        [one.begin for one in spans],
        [later.get((one.topic, one.partition), one.end) for one in spans],
    )


def _place(row: Any) -> Place:
    return row["topic"], row["partition"], row["offset"]
