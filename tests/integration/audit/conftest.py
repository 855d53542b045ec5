"""A house of its own for each test: a broker with the topics, a migrated database, and hands to play the services."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.local.kafka import LocalKafka
from services.audit.bookkeeping import STAGE_OF
from services.audit.positions import Step, read_position
from services.audit.sync_log import record_outcomes
from services.audit.verification import GROUP_OF
from shared import topics
from shared.delivery.records import Record
from shared.events import Event, EventType, write_headers
from shared.identity import coordinates, outcome_id
from shared.kafka import apply_topics, read_range
from shared.outcomes import OutcomeRecorded, encode_outcome
from shared.postgres import open_pool

MOMENT = "2026-11-23T14:05:06.123Z"


class House:
    """Plays the services by hand: publishes, tells outcomes, commits, lets audit read."""

    def __init__(self, bootstrap: str, database_url: str, producer: AIOKafkaProducer, pool: Any) -> None:
        self.bootstrap = bootstrap
        self.database_url = database_url
        self.producer = producer
        self.pool = pool

    async def send(self, topic: str, key: str, value: bytes = b"bytes", **attributes: Any) -> str:
        """Produce a record; returns its coordinates."""
        headers = write_headers(Event(type=EventType.DOCUMENT_PUBLISHED, **attributes))
        sent = await self.producer.send_and_wait(topic, value, key=key.encode(), headers=headers)
        return coordinates(sent.topic, sent.partition, sent.offset)

    async def tell(self, place: str, status: str, *, times: int = 1, is_committed: bool = True, **facts: Any) -> OutcomeRecorded:
        """Record the outcome of a record as its stage would, and commit behind it."""
        topic, partition, offset = place.rsplit("/", 2)
        outcome = made_outcome(topic, int(partition), int(offset), status, **facts)
        for _ in range(times):
            await self.producer.send_and_wait(topics.OUTCOMES.name, encode_outcome(outcome), key=place.encode())
        if is_committed:
            await self.commit(topic, int(partition), int(offset) + 1)
        return outcome

    async def commit(self, topic: str, partition: int, offset: int) -> None:
        """Commit for the topic's group."""
        place = TopicPartition(topic, partition)
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, group_id=GROUP_OF[topic], enable_auto_commit=False)
        await consumer.start()
        try:
            consumer.assign([place])
            await consumer.commit({place: offset})
        finally:
            await consumer.stop()

    async def outcomes(self) -> dict[int, list[Record]]:
        """What audit has not read yet, by partition."""
        start = {}
        for partition in range(topics.OUTCOMES.partitions):
            start[partition] = await read_position(self.pool, topics.AUDIT_GROUP, topics.OUTCOMES.name, partition) or 0
        found: dict[int, list[Record]] = {}
        async for record in read_range([self.bootstrap], topics.OUTCOMES.name, start=start):
            found.setdefault(record.partition, []).append(record)
        return found

    async def audit(self) -> None:
        """Let audit read all outcomes."""
        for partition, records in (await self.outcomes()).items():
            await record_outcomes(self.pool, await self.step(partition, records), records)

    async def step(self, partition: int, records: Sequence[Record]) -> Step:
        """The step that the records of a partition make."""
        expected = await read_position(self.pool, topics.AUDIT_GROUP, topics.OUTCOMES.name, partition)
        return Step(topics.AUDIT_GROUP, topics.OUTCOMES.name, partition, expected, records[-1].offset + 1)

    async def deliver(self, correlation_id: str, *, provider: str = "north", document_id: str | None = None) -> list[str]:
        """A whole way: published, received, normalized, created. Returns the coordinates on it."""
        facts = {"correlation_id": correlation_id, "provider_id": provider, "document_id": document_id}
        published = await self.send(topics.PUBLISHED.name, correlation_id, id=correlation_id, providerid=provider)
        carried = {"correlationid": correlation_id, "providerid": provider, "documentid": document_id}
        received = await self.send(topics.RECEIVED.name, correlation_id, **carried)
        await self.tell(published, "received", action="receive", passed_on=(received,), **facts)
        normalized = await self.send(topics.NORMALIZED.name, correlation_id, **carried)
        await self.tell(received, "normalized", action="normalize", passed_on=(normalized,), **facts)
        await self.tell(normalized, "created", action="write_document", **facts)
        return [published, received, normalized]


def made_outcome(topic: str, partition: int, offset: int, status: str, *, part: int = 0, **facts: Any) -> OutcomeRecorded:
    """An outcome as the stage of that topic records it."""
    stage = str(STAGE_OF[topic])
    given = {"timestamp": MOMENT, **facts}
    return OutcomeRecorded(
        id=outcome_id(topic, partition, offset, stage, part),
        stage=stage,
        status=status,
        topic=topic,
        partition=partition,
        offset=offset,
        part=part,
        **given,
    )


def outcome_record(outcome: OutcomeRecorded, offset: int, partition: int = 0) -> Record:
    """The record that carries it."""
    return Record(topics.OUTCOMES.name, partition, offset, None, encode_outcome(outcome), (), 1_700_000_000_000)


@pytest.fixture
def own_bootstrap(tmp_path: Path) -> Iterator[str]:
    """A broker of the test's own: the books look at everything that stands on it."""
    broker = LocalKafka(tmp_path / "kafka")
    broker.start()
    try:
        broker.wait_ready()
        asyncio.run(apply_topics([broker.bootstrap]))
        yield broker.bootstrap
    finally:
        broker.stop()


@pytest.fixture
def audit_url(database_url: str) -> str:
    """A fresh database with the tables of audit alone: a service meets the others through Kafka."""

    folder = Path(str(files("services.audit").joinpath("migrations")))
    statements = [one.read_text("utf-8") for one in sorted(folder.glob("*.sql"))]

    async def apply() -> None:
        connection = await asyncpg.connect(database_url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(apply())
    return database_url


@pytest.fixture
def in_house(own_bootstrap: str, audit_url: str) -> Callable[[Callable[[House], Awaitable[None]]], None]:
    """Run a story inside a house."""

    async def run(story: Callable[[House], Awaitable[None]]) -> None:
        async with opened(own_bootstrap, audit_url) as house:
            await story(house)

    return lambda story: asyncio.run(run(story))


@asynccontextmanager
async def opened(bootstrap: str, database_url: str) -> AsyncIterator[House]:
    """A house with its producer and pool open."""
    pool = await open_pool(database_url, application_name="test-audit")
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True)
    await producer.start()
    try:
        yield House(bootstrap, database_url, producer, pool)
    finally:
        await producer.stop()
        await pool.close()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def tamper(pool: Any, statement: str, *arguments: Any) -> None:
    """Change the log as somebody with all rights over the database can: past its triggers."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(statement, *arguments)
