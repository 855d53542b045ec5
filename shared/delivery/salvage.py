"""The client's records as ours, and those that the client cannot read: a header whose name is no UTF-8 makes every poll fail for ever."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import _DefaultRecordBatchPy

from shared.delivery.records import Record
from shared.errors import Unavailable
from shared.logs import get_logger

STEP_MS = 500
MAX_STEPS = 100_000
READ_COMMITTED = 1
LENGTH_AT, MAGIC_AT, HEAD = 8, 16, 12  # of a record batch (KIP-98): length, format version, bytes before those that `length` counts
FORMAT_V2 = 2

logger = get_logger(__name__)


def read_record(one: Any) -> Record:
    """The client's record as ours; headers and bytes untouched."""
    return Record(one.topic, one.partition, one.offset, one.key, one.value, one.headers, one.timestamp)


async def step_over(consumer: AIOKafkaConsumer, submit: Callable[[Sequence[Record]], Awaitable[None]]) -> bool:
    """Find the record that cannot be decoded, read it ourselves, hand it on like any other; False when it was not found."""
    for place in consumer.assignment():
        try:
            polled = await consumer.getmany(place, timeout_ms=STEP_MS)
        except UnicodeDecodeError:
            return await _step_over_one(consumer, place, submit)
        for records in polled.values():
            await submit([read_record(one) for one in records])
    return False


async def _step_over_one(consumer: AIOKafkaConsumer, place: TopicPartition, submit: Callable[[Sequence[Record]], Awaitable[None]]) -> bool:
    for _ in range(MAX_STEPS):
        try:
            polled = await consumer.getmany(place, timeout_ms=STEP_MS, max_records=1)
        except UnicodeDecodeError:
            record = await read_next(consumer, place, await consumer.position(place))
            if record is None:
                return False
            logger.warning("record_decoded_leniently", topic=record.topic, partition=record.partition, offset=record.offset)
            await submit([record])
            consumer.seek(place, record.offset + 1)
            return True
        for records in polled.values():
            await submit([read_record(one) for one in records])
    return False


async def read_next(consumer: AIOKafkaConsumer, place: TopicPartition, position: int) -> Record | None:
    """The first record at or after a position, whatever its headers are. Raises Unavailable and KafkaError."""
    return read_leniently(await _fetch(consumer, place, position), place, position)


async def _fetch(consumer: AIOKafkaConsumer, place: TopicPartition, position: int) -> bytes:
    """The bytes of the record batches from a position on, as the broker has them."""
    client = consumer._client
    node = client.cluster.leader_for_partition(place)
    if node is None or node < 0:
        raise Unavailable("kafka", "no leader")
    wanted = [(place.topic, [(place.partition, position, 1 << 20)])]
    response = await client.send(node, FetchRequest(500, 1, 1 << 20, READ_COMMITTED, wanted))
    for _, partitions in response.topics:
        for _, error_code, _, *rest in partitions:
            if error_code:
                raise Unavailable("kafka", f"fetch error {error_code}")
            return bytes(rest[-1] or b"")
    return b""


def read_leniently(batches: bytes, place: TopicPartition, position: int) -> Record | None:
    """The first record at or after a position; names of headers that are no UTF-8 come with their bytes escaped."""
    at = 0
    while at + MAGIC_AT < len(batches):
        size = HEAD + int.from_bytes(batches[at + LENGTH_AT : at + HEAD], "big")
        if batches[at + MAGIC_AT] == FORMAT_V2 and at + size <= len(batches):
            batch: Any = _DefaultRecordBatchPy(batches[at : at + size])
            batch._maybe_uncompress()
            batch._buffer = _Lenient(batch._buffer)
            if not batch.is_control_batch:
                for one in batch:
                    if one.offset >= position:
                        return Record(place.topic, place.partition, one.offset, one.key, one.value, tuple(one.headers), one.timestamp)
        at += size
    return None


class _Text(bytes):
    """Bytes that can always be decoded."""

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, "backslashreplace")


class _Lenient(bytearray):
    """A buffer whose slices can always be decoded."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Text(found) if isinstance(at, slice) else found
