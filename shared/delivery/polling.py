"""Polls a FastStream subscriber's own consumer for an engine: back-pressure, commits, rebalances, and what must never be passed over.

One loop polls, one ticks (commits, metrics, watchdog). Nothing here cancels a poll that runs: the client would count it as
running for ever, and its own check of the poll interval would never fire again.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from shared.delivery import exits
from shared.delivery.books import Place
from shared.delivery.brake import POLL_SECONDS, Brake
from shared.delivery.commits import Committer
from shared.delivery.intake import Intake
from shared.delivery.lag import LagMeter
from shared.delivery.salvage import read_record, step_over
from shared.errors import Unavailable
from shared.logs import get_logger

REQUEST_SECONDS = 10.0
SESSION_TIMEOUT_MS = 30_000
REBALANCE_TIMEOUT_MS = 60_000
REVOKE_SHARE = 0.6  # of the rebalance timeout, for work in flight

logger = get_logger(__name__)


class Polling(ConsumerRebalanceListener):  # type: ignore[misc]  # the client has no types
    """The life of one consumer: `begin` after it has started, `finish` before it stops."""

    def __init__(
        self,
        engine: Intake,
        *,
        stage: str,
        group: str,
        commit_seconds: float,
        exit_process: Callable[[int], object] = exits.leave,
        clock: Callable[[], float] = time.monotonic,
        session_timeout_ms: int = SESSION_TIMEOUT_MS,
        rebalance_timeout_ms: int = REBALANCE_TIMEOUT_MS,
    ) -> None:
        self.engine = engine
        self._stage = stage
        self._group = group
        self._commit_seconds = commit_seconds
        self._exit_process = exit_process
        self._clock = clock
        self._longest_silence_seconds = 3 * session_timeout_ms / 1000
        self._revoke_seconds = REVOKE_SHARE * rebalance_timeout_ms / 1000
        self._consumer: Callable[[], AIOKafkaConsumer | None] = lambda: None
        self._committer = Committer(group)
        self._lag = LagMeter(stage)
        self._tasks: list[asyncio.Task[None]] = []
        self._is_stopping = False
        self._brake = Brake(engine)
        self.last_poll = 0.0

    # --- with the broker ---

    def bind(self, consumer: Callable[[], AIOKafkaConsumer | None]) -> None:
        """Where to find the consumer: FastStream builds it when it starts."""
        self._consumer = consumer

    def begin(self) -> None:
        """Start to poll."""
        self.last_poll = self._clock()
        self._tasks = [asyncio.create_task(self._poll()), asyncio.create_task(self._tick())]

    async def finish(self) -> None:
        """Stop polling, drain, commit. The consumer may be closed afterwards."""
        self._is_stopping = True
        marks = await self.engine.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=POLL_SECONDS + 1.0)
        self._committer.abort()
        consumer = self._consumer()
        if consumer is not None:
            await self._committer.commit(consumer, marks, seconds=REQUEST_SECONDS)
        for task in self._tasks:  # a poll that hangs in a rebalance
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self.engine.publish_metrics()
        logger.info("consumer_stopped", stage=self._stage, group=self._group, offsets=len(marks))

    async def seek(self, place: Place, offset: int | None) -> None:
        """Poll a partition from another offset; None: from what is committed, else from the beginning. Raises Unavailable."""
        consumer = self._consumer()
        partition = TopicPartition(*place)
        if consumer is None:
            return
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                if offset is None:
                    offset = await consumer.committed(partition)
                if offset is None:
                    offset = (await consumer.beginning_offsets([partition]))[partition]
                consumer.seek(partition, offset)
        except IllegalStateError:  # it has gone to somebody else meanwhile
            return
        except (KafkaError, TimeoutError) as error:
            raise Unavailable("kafka", type(error).__name__) from error

    # --- rebalances; the client swallows exceptions that leave these ---

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Partitions have become ours."""
        places = [(one.topic, one.partition) for one in assigned]
        self.engine.assigned(places)
        self._brake.release()
        self._lag.forget()
        logger.info("partitions_assigned", stage=self._stage, group=self._group, count=len(places))

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Partitions go: finish what is in flight, commit, forget."""
        places = [(one.topic, one.partition) for one in revoked]
        if not places:
            return
        self._committer.abort()
        marks = await self.engine.revoked(places, wait_seconds=self._revoke_seconds)
        consumer = self._consumer()
        if consumer is not None:
            await self._committer.commit(consumer, marks, seconds=REQUEST_SECONDS)
        logger.info("partitions_revoked", stage=self._stage, group=self._group, count=len(places))

    # --- the loops ---

    async def _poll(self) -> None:
        while not self._is_stopping and self.engine.is_ready:
            consumer = self._consumer()
            if consumer is None:
                return
            try:
                wait_seconds = await self._brake.wait(consumer)
                polled = await consumer.getmany(timeout_ms=int(wait_seconds * 1000), max_records=self._brake.max_records)
            except ConsumerStoppedError:
                return
            except NoOffsetForPartitionError as error:  # a new group, or one that Kafka forgot: from the beginning
                with contextlib.suppress(Unavailable):
                    await self.seek(tuple(error.args[0]), None)
            except OffsetOutOfRangeError as error:
                await self._lose_offsets(error)
                return
            except Exception as error:
                logger.error("poll_failed", stage=self._stage, group=self._group, why=type(error).__name__, exc_info=error)
                await self._recover(consumer, error)
            else:
                self.last_poll = self._clock()
                if polled:
                    await self.engine.submit([read_record(one) for records in polled.values() for one in records])

    async def _recover(self, consumer: AIOKafkaConsumer, error: Exception) -> None:
        """After a poll that failed half-way: what it had read of other partitions is gone with it, so all are read again.

        The engine ignores what it has. A record that the client cannot decode is read by ourselves.
        """
        for one in consumer.assignment():
            await self._rewind((one.topic, one.partition))
        if isinstance(error, UnicodeDecodeError):
            with contextlib.suppress(Unavailable, KafkaError):
                if await step_over(consumer, self.engine.submit):
                    return
        await asyncio.sleep(1.0)

    async def _rewind(self, place: Place) -> None:
        """Go back to what the engine has not taken yet; not before that succeeded may polling go on."""
        while not self._is_stopping:
            try:
                await self.seek(place, self.engine.next_of(place))
            except Unavailable:
                await asyncio.sleep(1.0)
            else:
                return

    async def _lose_offsets(self, error: OffsetOutOfRangeError) -> None:
        """The broker does not have what comes next: jumping would lose documents in silence, so a person decides."""
        for place, offset in dict(error.args[0]).items():
            logger.critical(
                "offset_out_of_range", stage=self._stage, group=self._group, topic=place.topic, partition=place.partition, offset=offset
            )
        await self._leave(exits.OFFSETS_LOST)

    async def _tick(self) -> None:
        while not self._is_stopping:
            await asyncio.sleep(self._commit_seconds)
            consumer = self._consumer()
            if consumer is None or self._is_stopping:
                return
            try:
                await self._commit(consumer)
                self.engine.publish_metrics()
                self._lag.measure(consumer, self.engine.mark_of, self._clock())
            except Exception as error:  # this loop holds the watchdog: it goes on
                logger.error("tick_failed", stage=self._stage, group=self._group, why=type(error).__name__, exc_info=error)
            if self.engine.is_stopped_by_refusals:
                await self._leave(exits.REFUSALS)
            if self.engine.has_broken:
                await self._leave(exits.WATCHDOG)
            self._watch()

    async def _commit(self, consumer: AIOKafkaConsumer) -> None:
        marks = self.engine.marks()
        if marks and await self._committer.commit(consumer, marks, seconds=REQUEST_SECONDS):
            self.engine.committed(marks)

    def _watch(self) -> None:
        """A consumer can hang for good after a broker restart; a fresh process is the cure."""
        silence = self._clock() - self.last_poll
        has_ended = bool(self._tasks) and self._tasks[0].done() and self.engine.is_ready and not self._is_stopping
        if silence > self._longest_silence_seconds or has_ended:
            logger.critical("polling_stands_still", stage=self._stage, group=self._group, seconds=round(silence))
            self._exit_process(exits.WATCHDOG)
            self.last_poll = self._clock()

    async def _leave(self, code: int) -> None:
        """End the process in order: what is in flight is finished and committed first."""
        self._is_stopping = True
        marks = await self.engine.stop()
        consumer = self._consumer()
        if consumer is not None:
            await self._committer.commit(consumer, marks, seconds=REQUEST_SECONDS)
        self._exit_process(code)
