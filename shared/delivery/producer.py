"""The producer of every service: idempotent, acknowledged by all replicas, never waiting for ever."""

import asyncio
import contextlib
import random
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    RecordListTooLargeError,
    UnknownProducerId,
)
from aiokafka.partitioner import murmur2

from shared.errors import Unavailable
from shared.logs import get_logger

Item = tuple[str, bytes | None, bytes | None, Sequence[tuple[str, bytes]]]  # topic, key, value, headers

TARGET = "kafka"
MAX_REQUEST_BYTES = 8 << 20
REQUEST_TIMEOUT_MS = 15_000
FATAL = (OutOfOrderSequenceNumber, ProducerFenced, InvalidProducerEpoch, InvalidProducerIdMapping, UnknownProducerId, ProducerClosed)

logger = get_logger(__name__)


class RecordTooLarge(Exception):
    """The record is larger than a record may be; trying again cannot help. Send a reference instead."""

    def __init__(self, topic: str, size: int) -> None:
        super().__init__(f"a record of {size} bytes is too large for {topic}")
        self.topic = topic
        self.size = size


def translate(error: BaseException, topic: str, size: int) -> Unavailable | RecordTooLarge:
    """What an exception of the client means to us: two refusals of size, everything else passes with time."""
    if isinstance(error, (MessageSizeTooLargeError, RecordListTooLargeError)):
        return RecordTooLarge(topic, size)
    is_down = isinstance(error, TimeoutError) or (isinstance(error, KafkaError) and type(error).__name__ in _DOWN)
    return Unavailable(TARGET, type(error).__name__, is_target_down=is_down)


# the whole broker is away, not one topic of it
_DOWN = frozenset(["KafkaConnectionError", "NodeNotReadyError", "NoBrokersAvailable", "KafkaUnavailableError", "BrokerNotAvailableError"])


@lru_cache(maxsize=16_384)
def _hash(key: bytes) -> int:
    return int(murmur2(key)) & 0x7FFFFFFF  # Kafka's own hash, in plain Python: dear enough to remember


def choose_partition(key: bytes | None, partitions: Sequence[int], available: Sequence[int]) -> int:
    """Where a key lives: as every Kafka client decides it. Without a key: anywhere."""
    if key is None:
        return random.choice(available or partitions)  # noqa: S311  # spreads load, keeps no secret
    return partitions[_hash(key) % len(partitions)]


class Producer:
    """Sends records and tells where they landed.

    A record is sent when the broker has acknowledged it; until then every failure is an exception, and the caller, who still holds
    the record, tries again. After giving up, a new client with a new identity takes over: a record given up may have been written
    all the same, which at-least-once delivery allows.
    """

    def __init__(self, bootstrap: list[str], *, name: str, deadline_seconds: float = 15.0, linger_ms: int = 2) -> None:
        self._bootstrap = bootstrap
        self._name = name
        self._deadline_seconds = deadline_seconds
        self._linger_ms = linger_ms
        self._client: AIOKafkaProducer | None = None
        self._starting: asyncio.Task[AIOKafkaProducer] | None = None
        self._burials: set[asyncio.Task[None]] = set()
        self._is_stopped = True

    async def start(self) -> None:
        """Connect. Raises Unavailable when no broker answers in time."""
        self._is_stopped = False
        await self._connected()

    async def stop(self) -> None:
        """Flush what was handed over, within the deadline, and disconnect."""
        self._is_stopped = True
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(TimeoutError, KafkaError):
                async with asyncio.timeout(min(self._deadline_seconds, 5.0)):
                    await client.flush()
            await _bury(client)
        await asyncio.gather(*self._burials, return_exceptions=True)

    @property
    def is_ready(self) -> bool:
        """False while the broker is away or the last send was given up."""
        return self._client is not None and not _is_dead(self._client)

    async def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> str:
        """Send one record and give back its coordinates `topic/partition/offset` once the broker has acknowledged it.

        Raises Unavailable for every outage (at the latest at the deadline) and RecordTooLarge.
        """
        return (await self.send_all([(topic, key, value, headers)]))[0]

    async def send_all(self, items: Sequence[Item]) -> list[str]:
        """Send records together, in order for each key; coordinates in the order of `items`. Raises like `send`.

        When it raises, some of them may have been written.
        """
        pending: list[asyncio.Future[Any]] = []
        topic, size = "", 0
        client: AIOKafkaProducer | None = None
        try:
            async with asyncio.timeout(self._deadline_seconds):
                client = await self._connected()
                for topic, key, value, headers in items:
                    size = len(value or b"")
                    if key is None and value is None:
                        value = b""  # the client refuses a record without both
                    pending.append(await client.send(topic, value=value, key=key, headers=headers))
                found = [await one for one in pending]
        except Unavailable:
            raise
        except (KafkaError, TimeoutError, OSError) as error:
            _forget(pending)
            if client is not None and (isinstance(error, (TimeoutError, *FATAL)) or _is_dead(client)):
                self._give_up(client, error)
            raise translate(error, topic, size) from error
        except BaseException:
            _forget(pending)
            raise
        places = [f"{one.topic}/{one.partition}/{one.offset}" for one in found]
        if any(one.offset < 0 for one in found):  # acknowledged as a repetition whose place the broker forgot
            raise Unavailable(TARGET, "place unknown")
        return places

    async def _connected(self) -> AIOKafkaProducer:
        client = self._client
        if client is not None:
            if not _is_dead(client):
                return client
            self._give_up(client, ProducerClosed())
        if self._is_stopped:
            raise Unavailable(TARGET, "stopped")
        if self._starting is None:
            self._starting = asyncio.get_running_loop().create_task(self._connect())
            self._starting.add_done_callback(self._finish_start)
        return await asyncio.shield(self._starting)

    async def _connect(self) -> AIOKafkaProducer:
        client = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            client_id=self._name,
            acks="all",
            enable_idempotence=True,
            linger_ms=self._linger_ms,
            max_batch_size=262_144,
            max_request_size=MAX_REQUEST_BYTES,
            compression_type="zstd",
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            retry_backoff_ms=200,
            metadata_max_age_ms=60_000,
            partitioner=choose_partition,
        )
        try:
            async with asyncio.timeout(self._deadline_seconds):
                await client.start()
        except (KafkaError, TimeoutError, OSError) as error:
            await _bury(client)
            raise Unavailable(TARGET, type(error).__name__, is_target_down=True) from error
        except BaseException:
            await _bury(client)
            raise
        self._client = client
        return client

    def _finish_start(self, task: "asyncio.Task[AIOKafkaProducer]") -> None:
        self._starting = None
        if not task.cancelled():
            task.exception()  # those who wait have it

    def _give_up(self, client: AIOKafkaProducer, error: BaseException) -> None:
        """Never use this client again: its identity or its sender is gone, or it waits for a broker that does not answer."""
        if self._client is client:
            self._client = None
            logger.warning("producer_given_up", why=type(error).__name__)
            burial = asyncio.get_running_loop().create_task(_bury(client))
            self._burials.add(burial)
            burial.add_done_callback(self._burials.discard)


def _is_dead(client: AIOKafkaProducer) -> bool:
    task = client._sender.sender_task
    return client._closed or (task is not None and task.done())


def _forget(pending: Sequence["asyncio.Future[Any]"]) -> None:
    """Nobody waits for these any more; their exceptions count as seen."""
    for one in pending:
        one.add_done_callback(lambda done: done.cancelled() or done.exception())


async def _bury(client: AIOKafkaProducer) -> None:
    """Close a client that may never finish by itself: fail what it holds, cut its connections, end its sender.

    aiokafka's own `stop` flushes first, and with a broker that is down that takes for ever.
    """
    client._closed = True
    accumulator = client._message_accumulator
    with contextlib.suppress(Exception):
        accumulator.fail_all(ProducerClosed())
    with contextlib.suppress(Exception):
        await client.client.close()
    task = client._sender.sender_task
    if task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=5.0)
