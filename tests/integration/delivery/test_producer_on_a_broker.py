import asyncio
import time

import pytest

from shared.delivery import Producer, RecordTooLarge
from shared.errors import Unavailable
from shared.kafka import read_range, read_record
from tests.integration.delivery.harness import a_topic, until


def test_a_record_lies_where_the_producer_said(kafka_bootstrap):
    async def run() -> None:
        topic = await a_topic(kafka_bootstrap)
        producer = Producer([kafka_bootstrap], name="test")
        await producer.start()
        items = [(topic, f"key-{number % 20}".encode(), str(number).encode(), [("n", str(number).encode())]) for number in range(3000)]
        places = await producer.send_all(items)
        one = await read_record([kafka_bootstrap], places[1234])
        everything = [record async for record in read_range([kafka_bootstrap], topic)]
        await producer.stop()

        assert one is not None
        assert (one.place, one.value, one.headers) == (places[1234], b"1234", (("n", b"1234"),))
        assert len(set(places)) == 3000
        for key in {item[1] for item in items}:
            assert [int(one.value or b"") for one in everything if one.key == key] == [
                number for number in range(3000) if items[number][1] == key
            ]

    asyncio.run(run())


def test_a_record_that_is_too_large_is_said_to_be(kafka_bootstrap):
    async def run() -> None:
        topic = await a_topic(kafka_bootstrap, 1, **{"max.message.bytes": "200000"})
        producer = Producer([kafka_bootstrap], name="test")
        await producer.start()
        with pytest.raises(RecordTooLarge):
            await producer.send(topic, b"k", b"x" * (9 << 20), [])
        import os

        with pytest.raises(RecordTooLarge):
            await producer.send(topic, b"k", os.urandom(300_000), [])
        assert (await producer.send(topic, b"k", b"small", [])).startswith(topic)
        assert await producer.send(topic, None, None, []) is not None
        await producer.stop()

    asyncio.run(run())


def test_an_outage_ends_at_the_deadline_and_sending_recovers(local_kafka):
    async def run() -> None:
        topic = await a_topic(local_kafka.bootstrap)
        producer = Producer([local_kafka.bootstrap], name="test", deadline_seconds=2)
        await producer.start()
        await producer.send(topic, b"k", b"0", [])
        await asyncio.to_thread(local_kafka.kill)
        began = time.monotonic()
        results = await asyncio.gather(*(producer.send(topic, b"k", b"lost", []) for _ in range(100)), return_exceptions=True)
        took = time.monotonic() - began
        assert all(isinstance(one, Unavailable) for one in results)
        assert took < 6
        assert not producer.is_ready
        await asyncio.to_thread(local_kafka.start)
        await asyncio.to_thread(local_kafka.wait_ready)

        async def send() -> str | None:
            try:
                return await producer.send(topic, b"k", b"1", [])
            except Unavailable:
                return None

        began = time.monotonic()
        while await send() is None:
            assert time.monotonic() < began + 30
        assert producer.is_ready
        await until(lambda: not producer._burials, 20)
        await producer.stop()

    asyncio.run(run())


def test_a_topic_that_does_not_exist_is_unavailable(kafka_bootstrap):
    async def run() -> None:
        producer = Producer([kafka_bootstrap], name="test", deadline_seconds=2)
        await producer.start()
        with pytest.raises(Unavailable):
            await producer.send("test.no-such-topic", b"k", b"v", [])
        await producer.stop()

    asyncio.run(run())
