"""Members of a group in this process, and a judge that watches what they commit."""

import asyncio
import struct
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c
from faststream.kafka import KafkaBroker

from shared.delivery import DeliveryEngine, Producer, Record, subscribe
from shared.kafka import apply_topics, committed_and_end_offsets
from shared.outcomes import Done, Outcome, Outcomes, Stage, Status
from shared.settings import ServiceSettings
from shared.topics import Topic

OK: list[Outcome] = [Done(Status.NORMALIZED)]
QUICK = {"session_timeout_ms": 10_000, "rebalance_timeout_ms": 20_000, "heartbeat_interval_ms": 500}


def settings(**changes: Any) -> ServiceSettings:
    return ServiceSettings(**{"workers": 16, "commit_interval_seconds": 0.05, "retry_max_seconds": 0.5, "drain_seconds": 5.0, **changes})


async def a_topic(bootstrap: str, partitions: int = 4, **config: str) -> str:
    name = f"test.{uuid.uuid4().hex}"
    await apply_topics([bootstrap], [Topic(name, "a test's own", "any", 1, partitions, config)])
    return name


async def fill(bootstrap: str, topic: str, keys: Sequence[str | None], headers: Sequence[tuple[str, bytes]] = ()) -> list[str]:
    """Produce one record for each key, its number as value."""
    producer = Producer([bootstrap], name="test")
    await producer.start()
    try:
        items = [(topic, None if key is None else key.encode(), str(number).encode(), headers) for number, key in enumerate(keys)]
        return await producer.send_all(items)
    finally:
        await producer.stop()


class Books:
    """What members did, together. It is a recorder: an effect counts as done when it would be recorded."""

    def __init__(self) -> None:
        self.done: dict[tuple[str, int], set[int]] = defaultdict(set)
        self.firsts: dict[bytes | None, list[tuple[int, int]]] = defaultdict(list)  # first effects by key, in the order they happened
        self.outcomes: list[tuple[Record, list[Outcome]]] = []
        self.repeats = 0
        self._seen: set[tuple[int, int]] = set()

    async def record(self, record: Record, outcomes: Outcomes, *, attempt: int, duration_ms: int) -> None:
        await asyncio.sleep(0)
        self.outcomes.append((record, list(outcomes)))
        self.done[record[:2]].add(record.offset)

    def note_effect(self, record: Record) -> None:
        place = (record.partition, record.offset)
        if place in self._seen:
            self.repeats += 1
            return
        self._seen.add(place)
        self.firsts[record.key].append(place)

    @property
    def count(self) -> int:
        return sum(len(one) for one in self.done.values())

    def assert_order_kept(self) -> None:
        for key, places in self.firsts.items():
            assert sorted(places) == places, f"the order of {key!r} is broken"


class Member:
    """One member: a FastStream broker, a subscription and an engine."""

    def __init__(
        self, bootstrap: str, topic: str, group: str, books: Any, handler: Callable[[Record], Awaitable[Outcomes]], **options: Any
    ) -> None:
        self.exits: list[int] = []
        consumer = {**QUICK, **options.pop("consumer", {})}
        given = {name: options.pop(name) for name in list(options) if name in ServiceSettings.model_fields}
        self.engine = DeliveryEngine(stage=Stage.NORMALIZER, handler=handler, recorder=books, settings=settings(**given), **options)
        self.broker = KafkaBroker([bootstrap], logger=None, consumer_only=True)
        self.polling = subscribe(
            self.broker,
            topics=[topic],
            group=group,
            engine=self.engine,
            settings=self.engine.settings,
            exit_process=self.exits.append,
            **consumer,
        )

    async def start(self) -> "Member":
        await self.broker.start()
        return self

    async def stop(self) -> None:
        await self.broker.stop()


@asynccontextmanager
async def watched(bootstrap: str, group: str, topic: str, books: Books) -> AsyncIterator[list[dict[tuple[str, int], int]]]:
    """Judge at all times: what is committed is done, without a hole."""
    seen: list[dict[tuple[str, int], int]] = []
    is_over = asyncio.Event()

    async def watch() -> None:
        while not is_over.is_set():
            offsets = await committed_and_end_offsets([bootstrap], group, [topic])
            committed = {place: one[0] for place, one in offsets.items() if one[0] is not None}
            for place, offset in committed.items():
                holes = set(range(offset)) - books.done[place]
                assert not holes, f"{place}: {offset} is committed and {sorted(holes)[:5]} are not done"
            seen.append(committed)
            await asyncio.sleep(0.02)

    watching = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        is_over.set()
        await watching


async def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for a condition, with a deadline."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition():
        assert loop.time() < end, "waited in vain"
        await asyncio.sleep(0.01)


async def until_committed(bootstrap: str, group: str, topic: str, count: int, seconds: float = 60.0) -> None:
    """Wait until the group has committed so many records of a topic that begins at 0."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        offsets = await committed_and_end_offsets([bootstrap], group, [topic])
        committed = sum(one[0] or 0 for one in offsets.values())
        if committed >= count:
            return
        assert loop.time() < end, f"{committed} of {count} are committed"
        await asyncio.sleep(0.05)


def group_name() -> str:
    return f"group.{uuid.uuid4().hex}"


async def produce_a_header_name_that_is_no_text(bootstrap: str, topic: str, partition: int) -> None:
    """No client lets one write this; a hostile or broken one does: a record batch with its bytes patched, checksum and all."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks=1)
    await producer.start()
    try:
        batch = producer.create_batch()
        batch.append(key=f"key-odd-{partition}".encode(), value=b"well", timestamp=None, headers=[("fine", b"1")])
        batch.append(key=f"key-odd-{partition}".encode(), value=b"odd", timestamp=None, headers=[("QQQQ", b"x"), ("null", None)])
        batch.append(key=f"key-odd-{partition}".encode(), value=b"well", timestamp=None, headers=[])
        batch.close()
        batch._build()
        patched = bytearray(batch._buffer)
        at = patched.find(b"QQQQ")
        patched[at : at + 4] = b"\xff\xfeAB"
        patched[17:21] = struct.pack(">I", calc_crc32c(memoryview(bytes(patched[21:]))))
        batch._buffer = bytes(patched)
        await (await producer.send_batch(batch, topic, partition=partition))
    finally:
        await producer.stop()
