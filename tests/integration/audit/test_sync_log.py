"""Exactly one row for each outcome, on a real broker and a real database."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from services.audit.desk import record_quarantined
from services.audit.positions import Overtaken, Step, Stored, read_position
from services.audit.sync_log import record_outcomes
from shared import topics
from shared.delivery.records import Record
from shared.outcomes import encode_outcome
from tests.integration.audit.conftest import House, free_port, made_outcome, opened, outcome_record

Run = Callable[[Callable[[House], Awaitable[None]]], None]
OUTCOMES = topics.OUTCOMES.name


def outcomes(count: int, *, first: int = 0) -> list[Record]:
    """Records of so many different outcomes."""
    return [outcome_record(made_outcome(topics.RECEIVED.name, 1, first + n, "normalized"), first + n) for n in range(count)]


def with_pool(url: str, story: Callable[[Any], Awaitable[None]]) -> None:
    """Run a story over a pool."""
    from shared.postgres import open_pool

    async def run() -> None:
        pool = await open_pool(url, application_name="test-audit")
        try:
            await story(pool)
        finally:
            await pool.close()

    asyncio.run(run())


async def rows_of(pool: Any) -> int:
    """Rows in the log."""
    return int(await pool.fetchval("SELECT count(*) FROM synchronization_log"))


def test_the_same_outcome_five_times_is_one_row(audit_url: str) -> None:
    async def story(pool: Any) -> None:
        five = [record._replace(offset=number) for number, record in enumerate(outcomes(50) * 5)]

        stored = await record_outcomes(pool, Step("g", OUTCOMES, 0, None, 250), five)
        again = await record_outcomes(pool, Step("g", OUTCOMES, 1, None, 250), five)

        assert (Stored(50), Stored(0), 50) == (stored, again, await rows_of(pool))

    with_pool(audit_url, story)


def test_a_zombie_takes_nothing_and_learns_where_the_group_stands(audit_url: str) -> None:
    async def story(pool: Any) -> None:
        await record_outcomes(pool, Step("g", OUTCOMES, 0, None, 10), outcomes(10))
        await record_outcomes(pool, Step("g", OUTCOMES, 0, 10, 20), outcomes(10, first=10))

        zombie = await record_outcomes(pool, Step("g", OUTCOMES, 0, 10, 35), outcomes(25, first=10))
        newborn = await record_outcomes(pool, Step("g", OUTCOMES, 0, None, 35), outcomes(25, first=10))

        assert (Overtaken(20), Overtaken(20)) == (zombie, newborn)
        assert (await rows_of(pool), await read_position(pool, "g", OUTCOMES, 0)) == (20, 20)

    with_pool(audit_url, story)


def test_of_two_consumers_at_once_one_is_overtaken(audit_url: str) -> None:
    async def story(pool: Any) -> None:
        await record_outcomes(pool, Step("g", OUTCOMES, 0, None, 1), outcomes(1))
        step = Step("g", OUTCOMES, 0, 1, 401)

        both = await asyncio.gather(*(record_outcomes(pool, step, outcomes(400, first=1)) for _ in range(2)))

        assert [Overtaken, Stored] == sorted((type(one) for one in both), key=lambda kind: kind.__name__)
        assert await rows_of(pool) == 401

    with_pool(audit_url, story)


def test_a_poison_record_is_kept_on_the_desk_and_holds_nobody_up(audit_url: str) -> None:
    async def story(pool: Any) -> None:
        poison = [b"", b"\xff\x00", b"{}", encode_outcome(made_outcome(topics.RECEIVED.name, 1, 7, "Robert'); DROP TABLE"))]
        mixed = [
            *outcomes(2),
            *(Record(OUTCOMES, 0, 2 + n, None, value, (), 2**62) for n, value in enumerate(poison)),
            *outcomes(1, first=6),
        ]

        stored = await record_outcomes(pool, Step("g", OUTCOMES, 0, None, 7), mixed)

        assert (Stored(7), 3) == (stored, await rows_of(pool))
        desk = await pool.fetch('SELECT stage, reason, "where", "offset", size, state FROM quarantined_documents ORDER BY "offset"')
        assert [
            ("audit", "malformed_envelope", where, 2 + n, len(poison[n]), "open")
            for n, where in enumerate(["value", "value", "value", "status"])
        ] == [tuple(row) for row in desk]

    with_pool(audit_url, story)


def test_the_desk_keeps_one_row_for_each_quarantined_document(audit_url: str) -> None:
    async def story(pool: Any) -> None:
        event = (
            b'{"id":"0b0e7c1e-6a64-5f43-8f44-2f3f6c0a8b11","stage":"ingest","topic":"document.published.v1","partition":1,"offset":2,'
            b'"reason":"malformed_xml","where":"line 3","timestamp":"2026-11-23T14:05:06Z","size":12,"contentref":"sha256/ab","new":1}'
        )
        several = [Record(topics.QUARANTINED.name, 0, n, None, value, (), 0) for n, value in enumerate([event, event, b"nonsense"])]

        await record_quarantined(pool, Step("desk", topics.QUARANTINED.name, 0, None, 3), several)

        found = await pool.fetch("SELECT stage, reason, contentref FROM quarantined_documents ORDER BY stage")
        assert [tuple(row) for row in found] == [("audit", "malformed_envelope", None), ("ingest", "malformed_xml", "sha256/ab")]

    with_pool(audit_url, story)


def wait_until(check: Callable[[], bool], seconds: float = 60.0) -> None:
    """Until it is so."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.1)


def start_audit(bootstrap: str, database_url: str, port: int) -> "subprocess.Popen[bytes]":
    """The real service in a process of its own; it commits to Kafka almost never."""
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "DATABASE_URL": database_url,
        "AUDIT_HTTP_PORT": str(port),
        "AUDIT_COMMIT_INTERVAL_SECONDS": "3600",
        "AUDIT_BATCH_RECORDS": "50",
    }
    return subprocess.Popen([sys.executable, "-m", "services.audit.app"], env={**os.environ, **settings}, stderr=subprocess.DEVNULL)


@pytest.mark.timeout(180)
def test_killed_between_its_commit_and_kafkas_it_writes_no_row_twice(own_bootstrap: str, migrated_url: str) -> None:
    async def tell(first: int, count: int) -> None:
        async with opened(own_bootstrap, migrated_url) as house:
            for number in range(first, first + count):
                outcome = made_outcome(topics.PUBLISHED.name, number % 12, number, "rejected", reason="empty_content")
                await house.producer.send(OUTCOMES, encode_outcome(outcome), key=str(number).encode())
            await house.producer.send(OUTCOMES, b"poison", key=str(first).encode())
            await house.producer.flush()

    def rows() -> int:
        found: list[int] = []

        async def read(pool: Any) -> None:
            found.append(await rows_of(pool))

        with_pool(migrated_url, read)
        return found[0]

    port = free_port()
    asyncio.run(tell(0, 1000))
    process = start_audit(own_bootstrap, migrated_url, port)
    wait_until(lambda: rows() > 100)
    process.send_signal(signal.SIGKILL)  # the group waits 30 seconds for a member that was killed
    process.wait()
    asyncio.run(tell(1000, 500))
    process = start_audit(own_bootstrap, migrated_url, port)
    try:
        wait_until(lambda: rows() >= 1500)
        time.sleep(1)

        assert rows() == 1500
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/sync-logs?limit=1") as answer:
            assert b'"status":"rejected"' in answer.read()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz") as answer:
            assert answer.status == 200
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=40) == 0

    async def desk(pool: Any) -> None:
        assert await pool.fetchval("SELECT count(*) FROM quarantined_documents") == 2

    with_pool(migrated_url, desk)
