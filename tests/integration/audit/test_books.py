"""The books on a real broker and a real database: they balance, and they name what is missing."""

from collections.abc import Awaitable, Callable
from typing import Any

from services.audit.books import demo_report, verify
from shared import topics
from tests.integration.audit.conftest import House, tamper

Run = Callable[[Callable[[House], Awaitable[None]]], None]
DOCUMENT = "0b0e7c1e-6a64-5f43-8f44-2f3f6c0a8b11"


async def drop(house: House, place: str) -> None:
    """Take the rows of a record out of the log, as a fault would."""
    topic, partition, offset = place.rsplit("/", 2)
    statement = 'DELETE FROM synchronization_log WHERE topic = $1 AND partition = $2 AND "offset" = $3'
    await tamper(house.pool, statement, topic, int(partition), int(offset))


def test_books_balance_when_every_document_has_ended(in_house: Run) -> None:
    async def story(house: House) -> None:
        for number in range(20):
            await house.deliver(f"event-{number}")
        await house.audit()

        books = await verify(house.database_url, house.bootstrap)

        assert books.books_balanced, books.as_dict()
        assert (books.missing_count, books.in_flight, books.waiting_for_audit) == (0, 0, 0)
        assert {"published records", "passed on by ingest"} <= {one.name for one in books.equations}
        assert [one.left for one in books.equations if one.name.startswith("items of")] == [20, 20, 20]

    in_house(story)


def test_a_missing_outcome_is_named_with_its_document_and_event(in_house: Run) -> None:
    async def story(house: House) -> None:
        await house.deliver("whole")
        published, received, normalized = await house.deliver("hurt", document_id=DOCUMENT)
        await house.audit()
        await drop(house, received)
        await drop(house, normalized)

        books = await verify(house.database_url, house.bootstrap)

        assert not books.books_balanced
        named = {"/".join(map(str, one.place)): (one.stage, one.document_id, one.correlation_id, one.provider_id) for one in books.missing}
        assert {
            received: ("normalizer", DOCUMENT, "hurt", "north"),
            normalized: ("carepatron_writer", DOCUMENT, "hurt", "north"),
        } == named
        await drop(house, published)
        again = await verify(house.database_url, house.bootstrap)
        assert {published, received, normalized} == {"/".join(map(str, one.place)) for one in again.missing}

    in_house(story)


def test_work_in_progress_is_in_flight_and_never_missing(in_house: Run) -> None:
    async def story(house: House) -> None:
        facts: dict[str, Any] = {"correlation_id": "one", "provider_id": "north"}
        published = await house.send(topics.PUBLISHED.name, "one", id="one", providerid="north")
        books = await verify(house.database_url, house.bootstrap)
        assert (books.books_balanced, books.in_flight) == (True, 1)

        received = await house.send(topics.RECEIVED.name, "one", correlationid="one")
        await house.tell(published, "received", passed_on=(received,), **facts)
        # audit has not read the outcome, though ingest has committed
        books = await verify(house.database_url, house.bootstrap)
        assert (books.books_balanced, books.in_flight, books.waiting_for_audit) == (True, 2, 1)

        await house.audit()
        books = await verify(house.database_url, house.bootstrap)
        assert (books.books_balanced, books.in_flight, books.waiting_for_audit) == (True, 1, 0)

        await house.tell(received, "rejected", reason="malformed_hl7", **facts)
        await house.audit()
        books = await verify(house.database_url, house.bootstrap)
        assert (books.books_balanced, books.in_flight) == (True, 0)

    in_house(story)


def test_a_coordinate_passed_on_that_holds_no_record_is_missing(in_house: Run) -> None:
    async def story(house: House) -> None:
        published = await house.send(topics.PUBLISHED.name, "one", id="one")
        await house.tell(published, "received", passed_on=("document.received.v1/3/7",), correlation_id="one", document_id=DOCUMENT)
        await house.audit()

        books = await verify(house.database_url, house.bootstrap)

        assert not books.books_balanced
        assert [(*one.place, one.document_id, one.correlation_id) for one in books.missing] == [
            ("document.received.v1", 3, 7, DOCUMENT, "one")
        ]

    in_house(story)


def test_an_outcome_that_passes_nothing_on_leaves_the_books_open(in_house: Run) -> None:
    async def story(house: House) -> None:
        published = await house.send(topics.PUBLISHED.name, "one", id="one")
        await house.tell(published, "received", correlation_id="one")
        await house.audit()

        books = await verify(house.database_url, house.bootstrap)

        assert not books.books_balanced
        assert [one.name for one in books.equations if not one.holds] == ["items of published records"]

    in_house(story)


def test_transaction_markers_and_aborted_records_are_not_missing(in_house: Run) -> None:
    async def story(house: House) -> None:
        from aiokafka import AIOKafkaProducer

        producer = AIOKafkaProducer(bootstrap_servers=house.bootstrap, transactional_id="provider")
        await producer.start()
        try:
            await producer.begin_transaction()
            await producer.send_and_wait(topics.PUBLISHED.name, b"taken back", partition=0)
            await producer.abort_transaction()
            await producer.begin_transaction()
            kept = await producer.send_and_wait(topics.PUBLISHED.name, b"kept", partition=0)
            await producer.commit_transaction()
        finally:
            await producer.stop()
        await house.tell(f"{kept.topic}/{kept.partition}/{kept.offset}", "rejected", reason="unknown_format")
        await house.audit()

        books = await verify(house.database_url, house.bootstrap)

        assert (books.books_balanced, books.in_flight, books.missing_count) == (True, 0, 0), books.as_dict()
        assert books.equations[0].left == 1

    in_house(story)


def test_the_demo_report_waits_for_every_chain_to_end(in_house: Run) -> None:
    async def story(house: House) -> None:
        ids = ["whole", "twice", "broken", "adt", "unheard"]
        await house.deliver("whole", document_id=DOCUMENT)
        twice = await house.send(topics.PUBLISHED.name, "twice", id="twice")
        await house.tell(twice, "duplicate", correlation_id="twice", action="receive")
        broken = await house.send(topics.PUBLISHED.name, "broken", id="broken")
        await house.tell(broken, "rejected", reason="malformed_xml", correlation_id="broken", provider_id="north")
        adt = await house.send(topics.PUBLISHED.name, "adt", id="adt")
        admitted = await house.send(topics.RECEIVED.name, "adt", correlationid="adt")
        await house.tell(adt, "received", passed_on=(admitted,), correlation_id="adt")
        snapshot = await house.send(topics.NORMALIZED.name, "adt", correlationid="adt")
        await house.tell(admitted, "normalized", passed_on=(snapshot,), correlation_id="adt")
        await house.audit()

        report = await demo_report(house.database_url, house.bootstrap, ids)
        assert report["in_flight"] == 2, report

        await house.tell(snapshot, "updated", action="upsert_patient", correlation_id="adt")
        unheard = await house.send(topics.PUBLISHED.name, "unheard", id="unheard")
        await house.tell(unheard, "rejected", reason="empty_content", correlation_id="unheard")
        assert (await demo_report(house.database_url, house.bootstrap, ids))["in_flight"] > 0
        await house.audit()
        report = await demo_report(house.database_url, house.bootstrap, ids)

        rows = report.pop("rows")
        assert report == {
            "published": 5,
            "received": 2,
            "duplicates": 1,
            "quarantined": 2,
            "outcomes": {"created": 1, "duplicate": 1, "rejected": 2},
            "patients": {"updated": 1},
            "in_flight": 0,
            "books_balanced": True,
        }
        refused = next(row for row in rows if row["reason"] == "malformed_xml")
        assert (refused["provider"], refused["sentence"], refused["owner"]) == ("north", "The XML is broken.", "provider")

    in_house(story)
