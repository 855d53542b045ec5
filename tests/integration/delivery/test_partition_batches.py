import asyncio
from collections import defaultdict

from faststream.kafka import KafkaBroker

from shared.delivery import PartitionBatchSubscription
from shared.errors import Unavailable
from tests.integration.delivery.harness import QUICK, a_topic, fill, group_name, settings, until, until_committed


class Store:
    """An effect that keeps its offsets, as PostgreSQL does for audit: both in one step, compare and set."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], list[int]] = defaultdict(list)
        self.next: dict[tuple[str, int], int] = {}
        self.batches: list[int] = []
        self.aside: list[int] = []
        self.outages = 0
        self.poison: set[tuple[int, int]] = set()

    async def start_offset(self, topic: str, partition: int) -> int | None:
        await asyncio.sleep(0.01)
        if self.outages:
            self.outages -= 1
            raise Unavailable("postgres")
        return self.next.get((topic, partition))

    async def handle(self, place, records) -> int:
        await asyncio.sleep(0.001)
        if self.outages:
            self.outages -= 1
            raise Unavailable("postgres")
        if any((one.partition, one.offset) in self.poison for one in records):
            raise ValueError("poison")
        self.batches.append(len(records))
        return self._keep(place, [one.offset for one in records])

    async def set_aside(self, record, defect: str) -> int:
        assert defect.startswith("ValueError at ")
        self.aside.append(record.offset)
        return self._keep(record[:2], [record.offset])

    def _keep(self, place, offsets) -> int:
        stands_at = self.next.get(place, 0)
        if offsets[0] != stands_at:
            return stands_at
        self.rows[place] += offsets
        self.next[place] = offsets[-1] + 1
        return self.next[place]


def subscription(bootstrap, topic, group, store, **options) -> tuple[KafkaBroker, PartitionBatchSubscription]:
    broker = KafkaBroker([bootstrap], logger=None, consumer_only=True)
    made = PartitionBatchSubscription(
        broker,
        stage="audit",
        topics=[topic],
        group=group,
        handler=store.handle,
        on_poison=store.set_aside,
        start_offset=store.start_offset,
        settings=settings(),
        exit_process=lambda code: None,
        **{**QUICK, **options},
    )
    return broker, made


def test_every_record_has_its_effect_once_in_order_and_in_batches(kafka_bootstrap):
    async def run() -> None:
        topic, group, store = await a_topic(kafka_bootstrap), group_name(), Store()
        await fill(kafka_bootstrap, topic, [f"key-{number % 30}" for number in range(3000)])
        store.outages = 6
        broker, _ = subscription(kafka_bootstrap, topic, group, store)
        await broker.start()
        await until_committed(kafka_bootstrap, group, topic, 3000)
        await broker.stop()

        assert sum(len(rows) for rows in store.rows.values()) == 3000
        assert all(rows == list(range(len(rows))) for rows in store.rows.values())
        assert max(store.batches) > 50

    asyncio.run(run())


def test_the_effect_s_offset_counts_not_kafka_s(kafka_bootstrap):
    async def run() -> None:
        topic, store = await a_topic(kafka_bootstrap, 1), Store()
        await fill(kafka_bootstrap, topic, ["k"] * 100)
        group = group_name()
        broker, _ = subscription(kafka_bootstrap, topic, group, store)
        await broker.start()
        await until_committed(kafka_bootstrap, group, topic, 100)
        await broker.stop()
        store.rows[topic, 0] = store.rows[topic, 0][:40]  # the database was restored from a backup
        store.next[topic, 0] = 40
        broker, _ = subscription(kafka_bootstrap, topic, group, store)
        await broker.start()
        await until(lambda: store.next[topic, 0] == 100)
        await broker.stop()

        assert store.rows[topic, 0] == list(range(100))

    asyncio.run(run())


def test_only_the_poison_is_set_aside(kafka_bootstrap):
    async def run() -> None:
        topic, group, store = await a_topic(kafka_bootstrap, 1), group_name(), Store()
        store.poison = {(0, 0), (0, 57), (0, 99)}
        await fill(kafka_bootstrap, topic, ["k"] * 100)
        broker, _ = subscription(kafka_bootstrap, topic, group, store)
        await broker.start()
        await until_committed(kafka_bootstrap, group, topic, 100)
        await broker.stop()

        assert store.aside == [0, 57, 99]
        assert store.rows[topic, 0] == list(range(100))

    asyncio.run(run())


def test_who_was_overtaken_follows_to_where_the_effect_stands(kafka_bootstrap):
    async def run() -> None:
        topic, group, store = await a_topic(kafka_bootstrap, 1), group_name(), Store()
        await fill(kafka_bootstrap, topic, ["k"] * 10)
        broker, _ = subscription(kafka_bootstrap, topic, group, store)
        await broker.start()
        await until(lambda: store.next.get((topic, 0)) == 10)
        store.rows[topic, 0] += list(range(10, 15))  # somebody else is ahead
        store.next[topic, 0] = 15
        await fill(kafka_bootstrap, topic, ["k"] * 20)
        await until(lambda: store.next[topic, 0] == 30)
        store.next[topic, 0] = 25  # and somebody put it back
        del store.rows[topic, 0][25:]
        await fill(kafka_bootstrap, topic, ["k"] * 5)
        await until(lambda: store.next[topic, 0] == 35)
        await broker.stop()

        assert store.rows[topic, 0] == list(range(35))

    asyncio.run(run())


def test_members_come_and_go_and_the_effect_happens_once(kafka_bootstrap):
    async def run() -> None:
        topic, group, store = await a_topic(kafka_bootstrap, 6), group_name(), Store()
        first, _ = subscription(kafka_bootstrap, topic, group, store, max_batch=20)
        await first.start()
        for _ in range(3):
            other, _ = subscription(kafka_bootstrap, topic, group, store, max_batch=20)
            await other.start()
            await fill(kafka_bootstrap, topic, [f"key-{number % 60}" for number in range(1000)])
            await other.stop()
        await until_committed(kafka_bootstrap, group, topic, 3000)
        await first.stop()

        assert sum(len(rows) for rows in store.rows.values()) == 3000
        assert all(rows == list(range(len(rows))) for rows in store.rows.values())

    asyncio.run(run())
