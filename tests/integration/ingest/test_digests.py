import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from services.ingest.digests import Claim, Holder, PostgresDigests
from services.ingest.status import SyncLogStatus
from shared.errors import Unavailable
from shared.identity import digest
from shared.postgres import open_pool


def with_digests(url: str, use: Callable[[PostgresDigests, Any], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        pool = await open_pool(url, application_name="test")
        try:
            return await use(PostgresDigests(pool), pool)
        finally:
            await pool.close()

    return asyncio.run(run())


def claim(offset: int = 0, part: int = 0, content: bytes = b"text", provider_id: str = "lab-1", scope: str = "") -> Claim:
    return Claim(provider_id, digest(content), scope, f"document.published.v1/0/{offset}", part)


def facts(holder: Holder) -> tuple[str, int, str | None]:
    return holder.origin, holder.part, holder.received


def test_who_comes_first_holds_the_claim(migrated_url: str) -> None:
    async def use(digests: PostgresDigests, _: Any) -> None:
        first, again, other = await digests.claim(claim(0)), await digests.claim(claim(0)), await digests.claim(claim(1, 3))
        await digests.remember(claim(0), "document.received.v1/0/5")
        later = await digests.claim(claim(1, 3))

        assert facts(first) == facts(again) == facts(other) == ("document.published.v1/0/0", 0, None)
        assert first.age_seconds >= 0
        assert facts(later) == ("document.published.v1/0/0", 0, "document.received.v1/0/5")

    with_digests(migrated_url, use)


def test_provider_scope_and_bytes_make_the_claim(migrated_url: str) -> None:
    claims = [claim(0), claim(1, provider_id="lab-2"), claim(2, scope="patient"), claim(3, content=b"other")]

    async def use(digests: PostgresDigests, _: Any) -> None:
        holders = await asyncio.gather(*map(digests.claim, claims))
        assert [one.origin for one in holders] == [one.origin for one in claims]

    with_digests(migrated_url, use)


def test_of_many_lanes_one_wins(migrated_url: str) -> None:
    """Several services at once, each with batches of its own, in different orders: no deadlock, one holder for each digest."""
    contents = [b"%d" % number for number in range(200)]

    async def use(_: PostgresDigests, pool: Any) -> None:
        async def one(service: int) -> list[Holder]:
            mine = contents[service * 10 :] + contents[: service * 10]
            digests = PostgresDigests(pool)
            holders = await asyncio.gather(*(digests.claim(claim(service, content=content)) for content in [*mine, *reversed(mine)]))
            return [holder for _, holder in sorted(zip(mine, holders[: len(mine)], strict=True), key=lambda pair: pair[0])]

        holders = await asyncio.gather(*map(one, range(8)))
        for same in zip(*holders, strict=True):
            assert len({facts(holder) for holder in same}) == 1
        assert await pool.fetchval("SELECT count(*) FROM received_digests") == 200

    with_digests(migrated_url, use)


def test_a_claim_is_taken_over_once_and_stays_taken(migrated_url: str) -> None:
    async def use(digests: PostgresDigests, _: Any) -> None:
        seen = await digests.claim(claim(0))
        won = await asyncio.gather(*(digests.take_over(claim(offset), seen) for offset in range(1, 6)))
        holder = await digests.claim(claim(9))
        await digests.remember(claim(0), "document.received.v1/0/1")  # the one who lost it comes back
        after_the_loser = await digests.claim(claim(9))
        winner = claim(int(holder.origin.rpartition("/")[2]))
        await digests.remember(winner, "document.received.v1/0/2")
        await digests.remember(winner, "document.received.v1/0/3")
        at_the_end = await digests.claim(claim(9))
        too_late = await digests.take_over(claim(9), at_the_end)

        assert sorted(won) == [False, False, False, False, True]
        assert after_the_loser.received is None
        assert at_the_end.received == "document.received.v1/0/2"
        assert too_late is False

    with_digests(migrated_url, use)


def test_a_large_batch_goes_through(migrated_url: str) -> None:
    claims = [claim(0, part, b"%d" % part) for part in range(5000)]

    async def use(digests: PostgresDigests, _: Any) -> None:
        holders = await asyncio.gather(*map(digests.claim, claims))
        await asyncio.gather(*(digests.remember(one, f"document.received.v1/0/{one.part}") for one in claims))
        again = await asyncio.gather(*map(digests.claim, claims))

        assert [holder.part for holder in holders] == list(range(5000))
        assert [holder.received for holder in again] == [f"document.received.v1/0/{part}" for part in range(5000)]

    with_digests(migrated_url, use)


def test_a_database_that_is_away_is_an_outage(migrated_url: str) -> None:
    async def use(digests: PostgresDigests, pool: Any) -> None:
        holder = await digests.claim(claim(0))
        await pool.close()
        for call in (digests.claim(claim(1)), digests.take_over(claim(1), holder), digests.remember(claim(0), "x/0/0")):
            with pytest.raises(Unavailable):
                await call

    with_digests(migrated_url, use)


def test_the_status_comes_from_the_sync_log(migrated_url: str) -> None:
    insert = """
        INSERT INTO synchronization_log
            (id, action, "timestamp", recorded_at, status, stage, reason, correlation_id, topic, partition, "offset", passed_on, is_terminal)
        VALUES (gen_random_uuid(), $1, now(), now(), $2, $3, $4, $5, 't', 0, 0, $6, $7)
    """

    async def use(_: PostgresDigests, pool: Any) -> None:
        status = SyncLogStatus(pool)
        pending = await status.fetch("event-1")
        await pool.execute(insert, "receive", "received", "ingest", None, "event-1", ["document.received.v1/0/1"], False)
        await pool.execute(insert, "receive", "rejected", "ingest", "unknown_format", "event-2", [], True)
        processing, refused = await status.fetch("event-1"), await status.fetch("event-2")
        await pool.execute(insert, "normalize", "skipped", "normalizer", "not_relevant", "event-1", [], True)
        done = await status.fetch("event-1")

        assert [one.state for one in (pending, processing, refused, done)] == ["pending", "processing", "done", "done"]
        assert pending.outcomes == []
        assert [(one["stage"], one["status"], one.get("reason")) for one in done.outcomes] == [
            ("ingest", "received", None),
            ("normalizer", "skipped", "not_relevant"),
        ]

    with_digests(migrated_url, use)
