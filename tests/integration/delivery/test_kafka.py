import asyncio
import uuid

import pytest

from shared.errors import Misconfigured, Unavailable
from shared.kafka import TopicChange, apply_topics, check_topics, committed_and_end_offsets, read_range, read_record, read_records
from shared.topics import Topic
from tests.integration.delivery.harness import a_topic, fill


def test_topics_are_created_once_raised_when_too_low_and_never_lowered(kafka_bootstrap):
    async def run() -> None:
        name = f"test.{uuid.uuid4().hex}"

        def topic(days: int, **changes) -> Topic:
            return Topic(name, "a test's own", "any", days, 3, **changes)

        bootstrap = [kafka_bootstrap]
        with pytest.raises(Misconfigured):
            await check_topics(bootstrap, [topic(2)])
        assert await apply_topics(bootstrap, [topic(2)]) == [TopicChange(name, "created")]
        await check_topics(bootstrap, [topic(2)])
        assert await apply_topics(bootstrap, [topic(2)]) == [TopicChange(name, "unchanged")]
        assert await apply_topics(bootstrap, [topic(3, config={"cleanup.policy": "compact"})]) == [
            TopicChange(name, "differs", "cleanup.policy", "delete", "compact"),
            TopicChange(name, "raised", "retention.ms", "172800000", "259200000"),
        ]
        assert await apply_topics(bootstrap, [topic(1)]) == [TopicChange(name, "differs", "retention.ms", "259200000", "86400000")]
        assert await apply_topics(bootstrap, [topic(3)]) == [TopicChange(name, "unchanged")]

    asyncio.run(run())


def test_another_number_of_partitions_is_refused(kafka_bootstrap):
    async def run() -> None:
        name = await a_topic(kafka_bootstrap, 3)
        for act in (apply_topics, check_topics):
            with pytest.raises(Misconfigured, match="has 3 partitions and 12 are pinned"):
                await act([kafka_bootstrap], [Topic(name, "a test's own", "any", 1, 12)])

    asyncio.run(run())


def test_records_are_read_by_their_coordinates_in_the_order_asked(kafka_bootstrap):
    async def run() -> None:
        topic = await a_topic(kafka_bootstrap)
        places = await fill(kafka_bootstrap, topic, [f"key-{number}" for number in range(200)])
        wanted = [places[150], f"{topic}/0/99999", places[3], f"{topic}/77/0", f"no-such-topic-{topic}/0/0", places[151]]
        found = [(place, None if one is None else one.value) async for place, one in read_records([kafka_bootstrap], wanted)]

        assert found == [
            (wanted[0], b"150"),
            (wanted[1], None),
            (wanted[2], b"3"),
            (wanted[3], None),
            (wanted[4], None),
            (wanted[5], b"151"),
        ]
        with pytest.raises(ValueError):
            await read_record([kafka_bootstrap], "nonsense")

    asyncio.run(run())


def test_a_range_ends_where_it_is_told_to(kafka_bootstrap):
    async def run() -> None:
        topic = await a_topic(kafka_bootstrap, 2)
        bootstrap = [kafka_bootstrap]
        await fill(kafka_bootstrap, topic, [f"key-{number}" for number in range(300)])
        everything = [one async for one in read_range(bootstrap, topic)]
        await asyncio.sleep(0.05)
        await fill(kafka_bootstrap, topic, [f"key-{number}" for number in range(300)])
        later = min(one.timestamp_ms for one in [one async for one in read_range(bootstrap, topic)] if one not in set(everything))
        part = [one.offset async for one in read_range(bootstrap, topic, start={0: 10}, end={0: 20}, partitions=[0])]

        assert len(everything) == 300
        assert part == list(range(10, 20))
        assert set(everything) == {one async for one in read_range(bootstrap, topic, until_ms=later)}
        assert len([one async for one in read_range(bootstrap, topic, since_ms=later)]) == 300
        assert [one async for one in read_range(bootstrap, topic, since_ms=later + 10_000_000)] == []
        assert [one async for one in read_range(bootstrap, f"no-such-{topic}")] == []

    asyncio.run(run())


def test_offsets_of_a_group_that_never_was(kafka_bootstrap):
    async def run() -> None:
        topic = await a_topic(kafka_bootstrap, 2)
        await fill(kafka_bootstrap, topic, ["k"] * 7)
        offsets = await committed_and_end_offsets([kafka_bootstrap], "nobody", [topic, "no-such-topic"])

        assert sorted(end for _, _, end in offsets.values()) == [0, 7]
        assert all(committed is None for committed, _, _ in offsets.values())

    asyncio.run(run())


def test_no_broker_is_unavailable():
    async def run() -> None:
        for act in (check_topics(["127.0.0.1:1"]), read_record(["127.0.0.1:1"], "t/0/0")):
            with pytest.raises(Unavailable):
                await act

    asyncio.run(run())
