import asyncio
import inspect
from typing import ClassVar

import aiokafka.errors
import pytest
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from shared.delivery import producer as module
from shared.delivery.producer import FATAL, Producer, RecordTooLarge, choose_partition, translate
from shared.errors import Unavailable

EVERY_ERROR = sorted(
    {one for one in vars(aiokafka.errors).values() if inspect.isclass(one) and issubclass(one, KafkaError)} | {TimeoutError, OSError},
    key=lambda one: one.__name__,
)
TOO_LARGE = {"MessageSizeTooLargeError", "RecordListTooLargeError"}
BROKER_DOWN = {
    "BrokerNotAvailableError",
    "KafkaConnectionError",
    "KafkaUnavailableError",
    "NoBrokersAvailable",
    "NodeNotReadyError",
    "TimeoutError",
}


@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda one: one.__name__)
def test_the_whole_translation(error):
    made = translate(error.__new__(error), "t", 7)

    if error.__name__ in TOO_LARGE:
        assert isinstance(made, RecordTooLarge)
        assert (made.topic, made.size) == ("t", 7)
    else:
        assert isinstance(made, Unavailable)
        assert made.target == "kafka"
        assert made.why == error.__name__  # the name alone: texts of errors may quote
        assert made.is_target_down == (error.__name__ in BROKER_DOWN)


@given(st.binary(min_size=0, max_size=64), st.integers(1, 50))
def test_a_key_lives_where_every_kafka_client_puts_it(key, count):
    partitions = list(range(count))

    assert DefaultPartitioner()(key, partitions, partitions) == choose_partition(key, partitions, partitions)


def test_without_a_key_any_available_partition_is_good():
    assert choose_partition(None, [0, 1, 2], [1]) == 1
    assert choose_partition(None, [0], []) == 0


class FakeMetadata:
    def __init__(self, topic: str, offset: int) -> None:
        self.topic, self.partition, self.offset = topic, 0, offset


class FakeClient:
    """An AIOKafkaProducer whose answers a test decides."""

    made: ClassVar[list["FakeClient"]] = []
    answers: ClassVar[list[BaseException | int | None]] = []  # for each record: an error, an offset, or None for no answer at all
    start_errors: ClassVar[list[BaseException]] = []

    def __init__(self, **options) -> None:
        self.options = options
        self._closed = False
        self._sender = type("Sender", (), {"sender_task": None})()
        self._message_accumulator = type("Accumulator", (), {"fail_all": lambda _, error: None})()
        self.client = self
        FakeClient.made.append(self)

    async def start(self) -> None:
        if FakeClient.start_errors:
            raise FakeClient.start_errors.pop(0)

    async def close(self) -> None: ...
    async def flush(self) -> None: ...

    async def send(self, topic, value=None, key=None, headers=None):
        answer = FakeClient.answers.pop(0) if FakeClient.answers else 1
        if isinstance(answer, AssertionError):
            raise answer
        future = asyncio.get_running_loop().create_future()
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        elif answer is not None:
            future.set_result(FakeMetadata(topic, answer))
        return future


@pytest.fixture
def client(monkeypatch) -> type[FakeClient]:
    FakeClient.made, FakeClient.answers, FakeClient.start_errors = [], [], []
    monkeypatch.setattr(module, "AIOKafkaProducer", FakeClient)
    return FakeClient


def test_coordinates_come_back_in_the_order_of_the_records(client):
    async def run() -> None:
        producer = Producer(["a:1", "b:2"], name="n")
        await producer.start()
        client.answers = [5, 6, 7]

        assert await producer.send_all([("t", b"k", b"v", [])] * 3) == ["t/0/5", "t/0/6", "t/0/7"]
        assert client.made[0].options["bootstrap_servers"] == ["a:1", "b:2"]
        assert client.made[0].options["enable_idempotence"]
        assert client.made[0].options["acks"] == "all"
        await producer.stop()

    asyncio.run(run())


@pytest.mark.parametrize("error", FATAL, ids=lambda one: one.__name__)
def test_a_lost_identity_is_replaced_by_a_new_client(client, error):
    async def run() -> None:
        producer = Producer(["a:1"], name="n")
        await producer.start()
        client.answers = [error.__new__(error)]

        with pytest.raises(Unavailable):
            await producer.send("t", b"k", b"v", [])
        assert not producer.is_ready
        assert await producer.send("t", b"k", b"v", []) == "t/0/1"
        assert producer.is_ready
        assert len(client.made) == 2
        assert client.made[0]._closed
        await producer.stop()

    asyncio.run(run())


def test_a_broker_that_does_not_answer_is_given_up_at_the_deadline(client):
    async def run() -> None:
        producer = Producer(["a:1"], name="n", deadline_seconds=0.05)
        await producer.start()
        client.answers = [None]

        with pytest.raises(Unavailable) as caught:
            await producer.send("t", b"k", b"v", [])
        assert caught.value.is_target_down
        assert not producer.is_ready
        await producer.stop()

    asyncio.run(run())


def test_a_refusal_of_one_topic_keeps_the_client_for_the_others(client):
    async def run() -> None:
        producer = Producer(["a:1"], name="n")
        await producer.start()
        client.answers = [aiokafka.errors.TopicAuthorizationFailedError("t")]

        with pytest.raises(Unavailable):
            await producer.send("t", b"k", b"v", [])
        assert producer.is_ready
        assert len(client.made) == 1
        await producer.stop()

    asyncio.run(run())


def test_a_broker_that_is_away_at_the_start_is_unavailable_and_tried_again_by_the_next(client):
    async def run() -> None:
        client.start_errors = [aiokafka.errors.KafkaConnectionError(), aiokafka.errors.KafkaConnectionError()]
        producer = Producer(["a:1"], name="n")
        with pytest.raises(Unavailable):
            await producer.start()
        results = await asyncio.gather(*(producer.send("t", b"k", b"v", []) for _ in range(5)), return_exceptions=True)
        assert all(isinstance(one, Unavailable) for one in results)
        assert len(client.made) == 2  # one attempt for all who wait

        assert await producer.send("t", b"k", b"v", []) == "t/0/1"
        await producer.stop()

    asyncio.run(run())


def test_an_acknowledgement_without_a_place_is_not_taken_for_one(client):
    async def run() -> None:
        producer = Producer(["a:1"], name="n")
        await producer.start()
        client.answers = [-1]

        with pytest.raises(Unavailable):
            await producer.send("t", b"k", b"v", [])
        await producer.stop()

    asyncio.run(run())


def test_a_stopped_producer_says_so(client):
    async def run() -> None:
        producer = Producer(["a:1"], name="n")
        with pytest.raises(Unavailable):
            await producer.send("t", b"k", b"v", [])

    asyncio.run(run())
