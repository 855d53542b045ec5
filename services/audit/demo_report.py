"""What became of a given set of published events: the report that `healthcare-records demo` waits for and prints."""

from collections import Counter
from typing import Any

from services.audit import kafka_reading
from services.audit.bookkeeping import Span
from services.audit.playbook import play_of
from services.audit.verification import GROUP_OF, OUTCOME_GROUP, SQL, pending_gaps, read_pending, verify
from shared.identity import coordinates
from shared.outcomes import Action, OutcomeRecorded, Stage
from shared.postgres import guarded, open_pool

PATIENT_ACTIONS = frozenset([Action.UPSERT_PATIENT.value, Action.MERGE_PATIENT.value])


async def demo_report(database_url: str, bootstrap: str, correlation_ids: list[str]) -> dict[str, Any]:
    """The report; `in_flight` is 0 only when every chain has ended. Raises Unavailable."""
    brokers = [one.strip() for one in bootstrap.split(",")]
    pool = await open_pool(database_url, application_name="healthcare-records-report", max_size=1, command_timeout=60)
    try:
        spans = await kafka_reading.read_spans(brokers, GROUP_OF)
        outcome_spans = await kafka_reading.read_spans(brokers, OUTCOME_GROUP)
        async with guarded(), pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            rows = [dict(row) for row in await connection.fetch(SQL["read_stories"], correlation_ids)]
            pending = await pending_gaps(connection, outcome_spans)
        coming = await read_pending(brokers, pending)
    finally:
        await pool.close()
    books = await verify(database_url, bootstrap)
    return {**report_of(correlation_ids, rows, spans, coming), "books_balanced": books.books_balanced}


def report_of(
    correlation_ids: list[str], rows: list[dict[str, Any]], spans: list[Span], coming: list[OutcomeRecorded] | None
) -> dict[str, Any]:
    """The report from rows of the log (pure). `coming` are outcomes that audit has not read yet; None: too many to tell."""
    received = [row for row in rows if row["stage"] == Stage.INGEST]
    ended = [row for row in rows if row["is_terminal"]]
    documents = [row for row in ended if row["action"] not in PATIENT_ACTIONS]
    return {
        "published": len(correlation_ids),
        "received": sum(row["status"] == "received" for row in received),
        "duplicates": sum(row["status"] == "duplicate" for row in received),
        "quarantined": sum(row["status"] in ("rejected", "failed") for row in received),
        "outcomes": dict(Counter(row["status"] for row in documents)),
        "patients": dict(Counter(row["status"] for row in ended if row["action"] in PATIENT_ACTIONS)),
        "in_flight": in_flight(correlation_ids, rows, spans, coming),
        "rows": [_line(row) for row in ended],
    }


def in_flight(correlation_ids: list[str], rows: list[dict[str, Any]], spans: list[Span], coming: list[OutcomeRecorded] | None) -> int:
    """How much has not ended: events without a row, coordinates passed on without a row, rows that hang, outcomes on their way."""
    started = {row["correlation_id"] for row in rows if row["stage"] == Stage.INGEST}
    places = {coordinates(row["topic"], row["partition"], row["offset"]) for row in rows}
    unstarted = sum(one not in started for one in correlation_ids)
    unreached = len({place for row in rows for place in row["passed_on"]} - places)
    hanging = sum(not row["is_terminal"] and not row["passed_on"] for row in rows)
    mine = set(correlation_ids)
    arriving = 1 if coming is None else sum(one.correlation_id in mine for one in coming)
    # a record's last part may still be on its way while its first is here: it is finished when its group says so
    done = {(one.topic, one.partition): one.done for one in spans}
    unsettled = {
        (row["topic"], row["partition"], row["offset"])
        for row in rows
        if row["offset"] >= done.get((row["topic"], row["partition"]), row["offset"] + 1)
    }
    return unstarted + unreached + hanging + arriving or len(unsettled)


def _line(row: dict[str, Any]) -> dict[str, Any]:
    play = play_of(row["reason"])
    return {
        "provider": row["provider"],
        "document": str(row["document_id"]) if row["document_id"] else None,
        "patient": str(row["patient_id"]) if row["patient_id"] else None,
        "type": row["document_type"] or row["action"],
        "stage": row["stage"],
        "status": row["status"],
        "reason": row["reason"],
        "where": row["where"],
        "sentence": play.sentence if play else None,
        "owner": str(play.owner) if play else None,
        "correlation_id": row["correlation_id"],
    }
