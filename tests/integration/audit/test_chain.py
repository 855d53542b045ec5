"""The hash chain on a real database: what was edited, taken out, moved or cut off is named; forgetting and retention are not faults."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.audit.appending import Appender
from services.audit.chain import ChainReport
from services.audit.chain_checking import check_export, check_log, export_log, read_anchors
from services.audit.core import row_of
from services.audit.keeping import Anchors, drop_months, erase_patient
from services.audit.positions import Step
from services.audit.sync_log import record_outcomes
from shared import topics
from shared.delivery.records import Record
from shared.errors import Misconfigured
from shared.outcomes import encode_outcome
from shared.postgres import open_pool
from tests.integration.audit.conftest import made_outcome, outcome_record, tamper

OUTCOMES = topics.OUTCOMES.name
PATIENTS = [str(UUID(int=number + 1)) for number in range(3)]
TOPIC = topics.NORMALIZED.name


def records(count: int, *, first: int = 0, chain: int = 0) -> list[Record]:
    """Outcomes of three patients in turn."""
    made = []
    for number in range(first, first + count):
        patient = PATIENTS[number % 3]
        outcome = made_outcome(
            TOPIC, chain, number, "created", patient_key=patient, document_id=str(UUID(int=1000 + number)), external_id="x-7"
        )
        made.append(outcome_record(outcome, number)._replace(partition=chain))
    return made


def on_database(url: str, story: Callable[[Any], Awaitable[Any]]) -> Any:
    """Run a story over a pool with forty rows in each of two chains."""

    async def run() -> Any:
        pool = await open_pool(url, application_name="test-chain")
        try:
            for chain in (0, 1):
                await record_outcomes(pool, Step("g", OUTCOMES, chain, None, 20), records(20, chain=chain))
                await record_outcomes(pool, Step("g", OUTCOMES, chain, 20, 40), records(20, first=20, chain=chain))
            return await story(pool)
        finally:
            await pool.close()

    return asyncio.run(run())


def faults(report: ChainReport) -> list[tuple[int, int, str]]:
    """What is wrong, without row ids."""
    return [(one.chain, one.seq, one.what) for one in report.faults]


async def exported(pool: Any) -> list[bytes]:
    """The lines of an export."""
    file = io.BytesIO()
    await export_log(pool, file)
    return file.getvalue().splitlines(keepends=True)


def test_a_log_that_nobody_touched_is_whole_in_the_database_and_in_an_export(audit_url: str) -> None:
    async def story(pool: Any) -> Any:
        return await check_log(pool), check_export(await exported(pool))

    for report in on_database(audit_url, story):
        assert (report.faults, report.rows, {chain: head.seq for chain, head in report.heads.items()}) == ([], 80, {0: 40, 1: 40})


def test_repeated_outcomes_are_chained_once(audit_url: str) -> None:
    async def story(pool: Any) -> Any:
        again = [one._replace(offset=one.offset + 40) for one in records(40)]
        stored = await record_outcomes(pool, Step("g", OUTCOMES, 0, 40, 80), again * 2)
        return stored, await check_log(pool)

    stored, report = on_database(audit_url, story)

    assert stored.inserted == 0
    assert (report.faults, report.rows) == ([], 80)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE synchronization_log SET status = 'rejected' WHERE chain = 1 AND chain_seq = 7", [(1, 7, "edited")]),
        ('UPDATE synchronization_log SET details = \'{"defect": "x"}\' WHERE chain = 0 AND chain_seq = 40', [(0, 40, "edited")]),
        (
            'UPDATE synchronization_log SET "timestamp" = "timestamp" - interval \'1 day\' WHERE chain = 0 AND chain_seq = 1',
            [(0, 1, "edited")],
        ),
        ("UPDATE synchronization_log SET external_id = 'y' WHERE chain = 0 AND chain_seq = 3", [(0, 3, "identity_edited")]),
        (f"UPDATE synchronization_log SET patient_id = '{PATIENTS[1]}' WHERE chain = 0 AND chain_seq = 1", [(0, 1, "identity_edited")]),
        (
            "UPDATE synchronization_log SET patient_id = NULL, document_id = NULL, external_id = NULL, correlation_id = NULL, origin = NULL, "
            "sha256 = NULL WHERE chain = 0 AND chain_seq = 5",
            [(0, 5, "identity_edited")],
        ),
        ("DELETE FROM synchronization_log WHERE chain = 0 AND chain_seq = 9", [(0, 9, "missing")]),
        ("DELETE FROM synchronization_log WHERE chain = 0 AND chain_seq = 1", [(0, 1, "missing")]),
        ("DELETE FROM synchronization_log WHERE chain = 1 AND chain_seq > 30", [(1, 31, "cut_off")]),
        ("DELETE FROM synchronization_log WHERE chain = 1", [(1, 1, "cut_off")]),
        (
            "UPDATE synchronization_log SET chain_seq = CASE chain_seq WHEN 4 THEN 5 ELSE 4 END WHERE chain = 0 AND chain_seq IN (4, 5)",
            [(0, 4, "edited")],
        ),
    ],
    ids=[
        "status",
        "details",
        "time",
        "identity",
        "another patient",
        "identity taken out",
        "row",
        "first row",
        "tail",
        "whole chain",
        "order",
    ],
)
def test_the_first_row_that_is_wrong_is_named(audit_url: str, statement: str, expected: list[Any]) -> None:
    async def story(pool: Any) -> Any:
        await tamper(pool, statement)
        return await check_log(pool)

    assert faults(on_database(audit_url, story)) == expected


def test_the_log_is_append_only_for_whoever_asks_in_the_ordinary_way(audit_url: str) -> None:
    async def story(pool: Any) -> list[str]:
        refused = []
        for statement in (
            "UPDATE synchronization_log SET status = 'x'",
            "DELETE FROM synchronization_log",
            f"TRUNCATE synchronization_log_{datetime.now(UTC):%Y%m}",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError) as caught:
                await pool.execute(statement)
            refused.append(str(caught.value))
        return refused

    assert on_database(audit_url, story) == ["the synchronization log is append-only"] * 3


def test_a_tail_that_was_cut_off_with_its_head_is_caught_by_the_anchor(audit_url: str, tmp_path: Path) -> None:
    file = tmp_path / "anchors.ndjson"

    async def story(pool: Any) -> Any:
        anchors = Anchors(pool, file)
        assert await anchors.anchor()
        assert not await anchors.anchor()  # nothing has moved
        await tamper(pool, "DELETE FROM synchronization_log WHERE chain = 0 AND chain_seq > 30")
        cut = "UPDATE chain_heads h SET seq = 30, hash = (SELECT row_hash FROM synchronization_log WHERE chain = 0 AND chain_seq = 30) WHERE chain = 0"
        await tamper(pool, cut)
        return await check_log(pool), await check_log(pool, read_anchors(file)), check_export(await exported(pool), read_anchors(file))

    unaware, aware, offline = on_database(audit_url, story)

    assert unaware.faults == []
    assert faults(aware) == faults(offline) == [(0, 31, "cut_off")]
    assert file.stat().st_mode & 0o077 == 0


def test_a_chain_forged_anew_does_not_fit_its_anchor(audit_url: str, tmp_path: Path) -> None:
    async def story(pool: Any) -> Any:
        await Anchors(pool, tmp_path / "a").anchor()
        await tamper(pool, "DELETE FROM synchronization_log WHERE chain = 0")
        await tamper(pool, "DELETE FROM chain_heads WHERE chain = 0")
        await tamper(pool, "DELETE FROM outcome_ids")
        rows = [row_of(encode_outcome(made_outcome(TOPIC, 0, number, "rejected"))) for number in range(40)]
        async with pool.acquire() as connection, connection.transaction():
            await Appender().append(connection, 0, rows)  # type: ignore[arg-type]
        return await check_log(pool), await check_log(pool, read_anchors(tmp_path / "a"))

    unaware, aware = on_database(audit_url, story)

    assert unaware.faults == []
    assert faults(aware) == [(0, 40, "anchor_differs")]


def test_a_forgotten_patient_is_gone_and_the_chain_is_whole(audit_url: str) -> None:
    async def story(pool: Any) -> Any:
        before = await exported(pool)
        changed = await erase_patient(pool, PATIENTS[0])
        left = await pool.fetchval("SELECT count(*) FROM synchronization_log WHERE patient_id = $1", PATIENTS[0])
        keys = await pool.fetchval(
            "SELECT count(*) FROM audit_keys WHERE patient_id = $1 OR (destroyed_at IS NOT NULL AND key IS NOT NULL)", PATIENTS[0]
        )
        report = await check_log(pool)
        comes_again = await record_outcomes(pool, Step("g", OUTCOMES, 0, 40, 43), records(3, first=40))
        return changed, left, keys, report, comes_again, await check_log(pool), before, await exported(pool)

    changed, left, keys, report, again, after, before, exports = on_database(audit_url, story)

    assert (changed, left, keys, again.inserted) == (28, 0, 0, 3)
    assert (report.faults, report.erased, after.faults, after.erased) == ([], 28, [], 28)
    sealed = [orjson.loads(line)["sealed"] for line in exports[1:]]
    assert (sealed.count(None), all(orjson.loads(line)["sealed"] for line in before[1:])) == (28, True)
    assert PATIENTS[0].encode() not in b"".join(before + exports)
    assert check_export(exports).erased == 28


def test_months_that_retention_drops_leave_a_signed_summary(audit_url: str) -> None:
    key = Ed25519PrivateKey.generate()

    async def story(pool: Any) -> Any:
        for chain, first, month in ((2, 0, 1), (2, 10, 2), (2, 20, 4)):
            rows = [row_of(one.value) for one in records(10, first=100 + first, chain=chain)]
            async with pool.acquire() as connection, connection.transaction():
                await Appender().append(connection, chain, rows, now=datetime(2026, month, 3, tzinfo=UTC))  # type: ignore[arg-type]
        dropped = await drop_months(pool, date(2026, 3, 1), key)
        report, offline = await check_log(pool), check_export(await exported(pool))
        again = await record_outcomes(pool, Step("g", OUTCOMES, 2, None, 200), records(10, first=100, chain=2))
        await tamper(pool, "UPDATE chain_summaries SET rows_dropped = 9 WHERE chain = 2 AND last_seq = 20")
        return dropped, report, offline, again, await check_log(pool)

    dropped, report, offline, again, edited = on_database(audit_url, story)

    assert dropped == [date(2026, 1, 1), date(2026, 2, 1)]
    assert [(one.faults, one.rows, one.heads[2].seq) for one in (report, offline)] == [([], 90, 30)] * 2
    assert again.inserted == 10  # known no more: retention has forgotten them
    assert (2, 11, "summary_edited") in faults(edited)


def test_an_export_that_was_changed_is_named_line_by_line(audit_url: str) -> None:
    async def story(pool: Any) -> Any:
        return await exported(pool)

    lines = on_database(audit_url, story)
    edited = [line.replace(b'"created"', b'"updated"') if number == 5 else line for number, line in enumerate(lines)]

    assert faults(check_export(edited)) == [(0, 5, "edited")]
    assert faults(check_export(lines[:5] + lines[6:])) == [(0, 5, "missing")]
    assert faults(check_export(lines[:-4])) == [(1, 37, "cut_off")]
    assert (-1, 3, "unreadable_line") in faults(check_export([*lines[:2], b"{}\n", *lines[2:]]))
    for none in ([], [b"x"], [b"{}"], [b"[]"]):
        with pytest.raises(Misconfigured):
            check_export(none)


def test_a_clock_that_was_set_back_does_not_disturb_the_months(audit_url: str) -> None:
    async def story(pool: Any) -> Any:
        for number, moment in enumerate((datetime(2027, 3, 1, tzinfo=UTC), datetime(2027, 2, 27, tzinfo=UTC))):
            rows = [row_of(one.value) for one in records(2, first=500 + 2 * number, chain=3)]
            async with pool.acquire() as connection, connection.transaction():
                await Appender().append(connection, 3, rows, now=moment)  # type: ignore[arg-type]
        return await pool.fetch("SELECT recorded_at FROM synchronization_log WHERE chain = 3 ORDER BY chain_seq"), await check_log(pool)

    rows, report = on_database(audit_url, story)

    assert {row["recorded_at"] for row in rows} == {datetime(2027, 3, 1, tzinfo=UTC)}
    assert report.faults == []
