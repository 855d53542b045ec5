"""One suite for both ledgers: the fake in memory and the table in PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from services.carepatron_writer.core import Link, Offer, Refusal, Settlement
from services.carepatron_writer.handlers import write_documents
from services.carepatron_writer.links import Claim, Known, Ledger, PostgresLedger, Settled
from shared.errors import Unavailable
from shared.outcomes import Reason, Status
from shared.postgres import open_pool
from shared.testing import MemoryContentStore
from tests.contract.writing_fakes import (
    NEWER,
    MemoryLedger,
    MemoryPlatform,
    PlainRenderer,
    RunningSandbox,
    a_document,
    a_key,
    a_patient,
    document_record,
    open_adapter,
    patient_record,
    until_done,
)

Opener = Callable[[], Any]


@pytest.fixture(params=["memory", "postgres"])
def opened(request: pytest.FixtureRequest) -> Opener:
    """Opens a ledger inside a running loop."""
    url = request.getfixturevalue("migrated_url") if request.param == "postgres" else ""

    @asynccontextmanager
    async def open_ledger() -> AsyncIterator[Ledger]:
        if not url:
            yield MemoryLedger()
            return
        async with postgres_ledger(url) as ledger:
            yield ledger

    return open_ledger


@asynccontextmanager
async def postgres_ledger(url: str) -> AsyncIterator[PostgresLedger]:
    """A ledger on a database."""
    pool = await open_pool(url, application_name="test")
    ledger = PostgresLedger(pool)
    try:
        yield ledger
    finally:
        await ledger.aclose()
        await pool.close()


def an_offer(**changes: Any) -> Offer:
    """A version of a document."""
    patient = a_key()
    plain: dict[str, Any] = {"our_id": a_key(), "patient_key": patient, "version": "v1", "digest": "d1", "place": "t/0/1"}
    return Offer(**{"destination_id": "carepatron", "kind": "document", **plain, **changes})


APPLIED = Settlement("applied", Status.CREATED, "x")


def test_nothing_is_known_at_first(opened: Opener) -> None:
    async def run() -> Known:
        async with opened() as ledger:
            known: Known = await ledger.read(an_offer())
            return known

    assert Known(None, None, None) == asyncio.run(run())


def test_a_claim_is_seen_and_settled(opened: Opener) -> None:
    offer = an_offer()

    async def run() -> list[Any]:
        async with opened() as ledger:
            won = await ledger.claim(Claim(offer, 0))
            claimed = await ledger.read(offer)
            await ledger.settle(Settled(offer, 1, APPLIED))
            return [won, claimed.link, (await ledger.read(offer)).link]

    won, claimed, settled = asyncio.run(run())

    assert won
    assert Link("sending", "v1", "d1", "t/0/1", 1) == claimed
    assert Link("applied", "v1", "d1", "t/0/1", 2, "x", Status.CREATED) == settled


def test_of_many_who_saw_the_same_one_wins(opened: Opener) -> None:
    offer = an_offer()

    async def run() -> list[bool]:
        async with opened() as ledger:
            first = await asyncio.gather(*(ledger.claim(Claim(replace(offer, place=f"t/0/{n}"), 0)) for n in range(8)))
            second = await asyncio.gather(*(ledger.claim(Claim(replace(offer, place=f"t/0/{n}"), 1)) for n in range(8)))
            return [*first, *second]

    assert sum(asyncio.run(run())) == 2


def test_a_claim_or_an_end_that_was_overtaken_changes_nothing(opened: Opener) -> None:
    offer = an_offer()
    newer = replace(offer, version="v2", place="t/0/2")

    async def run() -> tuple[bool, Link]:
        async with opened() as ledger:
            await ledger.claim(Claim(offer, 0))
            await ledger.claim(Claim(newer, 1))
            late = await ledger.claim(Claim(offer, 1))
            await ledger.settle(Settled(offer, 1, APPLIED))
            return late, (await ledger.read(offer)).link

    late, link = asyncio.run(run())

    assert not late
    assert (link.state, link.version, link.place) == ("sending", "v2", "t/0/2")


def test_what_was_surely_not_sent_waits(opened: Opener) -> None:
    offer = an_offer()

    async def run() -> Link:
        async with opened() as ledger:
            await ledger.claim(Claim(offer, 0))
            await ledger.settle(Settled(offer, 1, None))
            link: Link = (await ledger.read(offer)).link
            return link

    assert (asyncio.run(run()).state, None) == ("waiting", None)


def test_a_refusal_is_kept_for_the_patients_documents(opened: Opener) -> None:
    key = a_key()
    patient = an_offer(kind="patient", our_id=key, patient_key=key)
    refusal = Refusal(Reason.POSSIBLE_DUPLICATE, "/name")

    async def run() -> tuple[Known, Known]:
        async with opened() as ledger:
            await ledger.claim(Claim(patient, 0))
            await ledger.settle(Settled(patient, 1, Settlement("refused", Status.REJECTED, None, refusal)))
            return await ledger.read(patient), await ledger.read(an_offer(patient_key=key))

    own, document = asyncio.run(run())

    assert refusal == own.link.refusal if own.link else None
    assert Known(None, None, refusal) == document


def test_a_platforms_id_outlives_claims_and_is_forgotten_only_on_purpose(opened: Opener) -> None:
    key = a_key()
    patient = an_offer(kind="patient", our_id=key, patient_key=key)
    document = an_offer(patient_key=key)

    async def run() -> list[str | None]:
        async with opened() as ledger:
            await ledger.claim(Claim(patient, 0))
            await ledger.settle(Settled(patient, 1, APPLIED))
            await ledger.claim(Claim(patient, 2))
            found = [(await ledger.read(document)).patient_external_id]
            await ledger.forget_patient("carepatron", key, "other")
            found.append((await ledger.read(document)).patient_external_id)
            await ledger.forget_patient("carepatron", key, "x")
            found.append((await ledger.read(document)).patient_external_id)
            await ledger.link_patient("carepatron", key, "y")
            found.append((await ledger.read(document)).patient_external_id)
            return found

    assert asyncio.run(run()) == ["x", "x", None, "y"]


def test_destinations_know_nothing_of_each_other(opened: Opener) -> None:
    offer = an_offer()

    async def run() -> Known:
        async with opened() as ledger:
            await ledger.claim(Claim(offer, 0))
            known: Known = await ledger.read(replace(offer, destination_id="north"))
            return known

    assert Known(None, None, None) == asyncio.run(run())


def test_many_lanes_at_once(opened: Opener) -> None:
    offers = [an_offer() for _ in range(600)]

    async def run() -> list[Known]:
        async with opened() as ledger:

            async def write(offer: Offer) -> Known:
                await ledger.read(offer)
                assert await ledger.claim(Claim(offer, 0))
                await ledger.settle(Settled(offer, 1, APPLIED))
                known: Known = await ledger.read(offer)
                return known

            return await asyncio.gather(*(write(one) for one in offers))

    assert all(known.link is not None and known.link.state == "applied" for known in asyncio.run(run()))


def test_a_database_that_is_away_is_an_outage(migrated_url: str) -> None:
    async def run() -> None:
        async with postgres_ledger(migrated_url) as ledger:
            await ledger._pool.close()
            await ledger.read(an_offer())

    with pytest.raises(Unavailable):
        asyncio.run(run())


@pytest.mark.parametrize("profile", ["none", "lost-ack", "broken-answer"])
def test_records_five_times_shuffled_over_postgres_and_a_socket_have_one_effect_each(
    migrated_url: str, sandbox: RunningSandbox, account: str, profile: str
) -> None:
    patients = [a_patient(a_key()) for _ in range(12)]
    lanes = []
    for number, one in enumerate(patients):
        document = a_document(str(one.id))
        records = [
            patient_record(one, offset=number * 10),
            document_record(document, offset=number * 10 + 1),
            document_record(a_document(str(one.id), str(document.id), text="newer"), offset=number * 10 + 2, version=NEWER),
        ]
        lanes.append((records, [str(one.id), str(document.id)]))

    async def run() -> list[list[str]]:
        async with postgres_ledger(migrated_url) as ledger:
            adapters = [open_adapter(sandbox.url, account=account) for _ in range(2)]
            handlers = [write_documents(ledger, {"carepatron": one}, MemoryContentStore(), PlainRenderer()) for one in adapters]

            async def deliver(lane: list[Any]) -> list[str]:
                statuses = []
                for turn in range(5):
                    for record in lane:
                        (outcome,) = await until_done(lambda record=record, turn=turn: handlers[turn % 2](record))
                        statuses.append(outcome.status.value)
                return statuses

            with sandbox.chaos(profile, account=account, rate=0.4):
                found = await asyncio.gather(*(deliver(records) for records, _ in lanes))
            for one in adapters:
                await one.aclose()
            return found

    statuses = asyncio.run(run())
    effects = [one for _, ids in lanes for one in sandbox.effects(*ids)]

    assert len(effects) == 12 * 3
    assert [one[:3] for one in statuses] == [["created", "created", "updated"]] * 12
    assert [one[3:6] for one in statuses] == [["created", "superseded", "updated"]] * 12


def test_the_fake_platform_and_the_sandbox_end_alike(migrated_url: str, sandbox: RunningSandbox, account: str) -> None:
    key = a_key()
    document = a_document(key)
    records = [
        patient_record(a_patient(key), offset=0),
        document_record(document, offset=1),
        document_record(a_document(key, str(document.id), text="other"), offset=2),
        document_record(document, offset=3, version=NEWER, action="withdraw"),
        document_record(document, offset=4),
    ]

    async def run(ledger: Ledger, platform: Any) -> list[str]:
        handler = write_documents(ledger, {"carepatron": platform}, MemoryContentStore(), PlainRenderer())
        return [(await handler(one))[0].status.value for one in records]

    async def real() -> list[str]:
        async with postgres_ledger(migrated_url) as ledger:
            adapter = open_adapter(sandbox.url, account=account)
            try:
                return await run(ledger, adapter)
            finally:
                await adapter.aclose()

    expected = ["created", "created", "rejected", "withdrawn", "superseded"]
    assert expected == asyncio.run(run(MemoryLedger(), MemoryPlatform()))
    assert expected == asyncio.run(real())
