"""The delivery engine, second form: all records of a partition in order, in batches, for effects that keep the offset themselves."""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from shared.delivery.backoff import pause_seconds
from shared.delivery.books import Place, commit_age, moved_marks, note_committed
from shared.delivery.exits import has_broken
from shared.delivery.meters import Meters
from shared.delivery.queues import Queue
from shared.delivery.records import Record
from shared.delivery.room import Room
from shared.errors import Unavailable
from shared.logs import defect_of, get_logger
from shared.settings import ServiceSettings

# All records of one partition in order; gives back the offset at which the partition stands afterwards.
BatchHandler = Callable[[Place, list[Record]], Awaitable[int]]
# The offset at which the effect stands; None when it has none yet.
StartOffset = Callable[[str, int], Awaitable[int | None]]
# A record that the handler cannot take, and the defect; gives back the offset at which the partition stands afterwards.
OnPoison = Callable[[Record, str], Awaitable[int]]
# Moves the consumer: to an offset, or (None) to what Kafka has committed, else the beginning.
Seek = Callable[[Place, int | None], Awaitable[None]]

MAX_BATCH = 1000
POISON_IN_A_ROW = 50

logger = get_logger(__name__)


class BatchEngine:
    """One task for each partition. `Unavailable` tries the same batch again; a poison record is found and handed to `on_poison`."""

    def __init__(
        self,
        *,
        stage: str,
        handler: BatchHandler,
        on_poison: OnPoison,
        start_offset: StartOffset | None,
        settings: ServiceSettings,
        max_batch: int = MAX_BATCH,
        gather_seconds: float = 0.0,
        poison_in_a_row: int = POISON_IN_A_ROW,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.stage = stage
        self.settings = settings
        self.meters = Meters(stage)
        self.room = Room(settings.buffered_records, settings.buffered_bytes)
        self.queues: dict[Place, Queue] = {}
        self.is_stopped_by_refusals = False
        self.has_broken = False
        self._handler = handler
        self._on_poison = on_poison
        self._start_offset = start_offset
        self._max_batch = max_batch
        self._gather_seconds = gather_seconds
        self._poison_in_a_row = poison_in_a_row
        self._poison = 0
        self._clock = clock
        self._chance = chance
        self._seek: Seek | None = None
        self._is_taking = False

    def bind(self, seek: Seek) -> None:
        """How to move the consumer."""
        self._seek = seek

    @property
    def is_ready(self) -> bool:
        """Whether the engine takes records."""
        return self._is_taking and not self.is_stopped_by_refusals and not self.has_broken

    def start(self) -> None:
        """Begin to take records."""
        self._is_taking = True

    async def submit(self, records: Sequence[Record]) -> None:
        """Take records over; returns when there is room for more, or after a second. Never raises."""
        for record in records:
            queue = self.queues.get(record[:2]) or self._open(record[:2])
            if not queue.is_positioned or record.offset < queue.next:
                continue  # a seek follows, or has just been
            queue.next = record.offset + 1
            queue.records.append(record)
            self.room.add(record)
            queue.wake.set()
        if self.room.is_full:
            await self.room.wait(1.0)

    def assigned(self, places: Iterable[Place]) -> None:
        """Partitions have become ours: find out where each begins."""
        for place in places:
            if place not in self.queues:
                self._open(place)

    async def revoked(self, places: Iterable[Place], *, wait_seconds: float) -> Mapping[Place, int]:
        """Partitions go to others: finish the batches in flight, give back the last marks."""
        going = [self.queues[place] for place in places if place in self.queues]
        await self._end(going, wait_seconds)
        marks = moved_marks([(one.place, one) for one in going], self._clock())
        for queue in going:
            for record in queue.records:
                self.room.release(record)
            queue.records.clear()
            del self.queues[queue.place]
        return marks

    async def stop(self) -> Mapping[Place, int]:
        """Finish the batches in flight (at most `drain_seconds`) and stop; the last marks."""
        self._is_taking = False
        queues = list(self.queues.values())
        await self._end(queues, self.settings.drain_seconds)
        return self.marks()

    def marks(self) -> Mapping[Place, int]:
        """Marks that have moved since the last commit."""
        return moved_marks(self.queues.items(), self._clock())

    def held(self, place: Place) -> int:
        """How many records of a partition are taken and not done."""
        queue = self.queues.get(place)
        return 0 if queue is None else len(queue.records)

    def mark_of(self, place: Place) -> int | None:
        """The next offset of a partition that has no effect yet."""
        queue = self.queues.get(place)
        return None if queue is None else queue.mark

    def next_of(self, place: Place) -> int | None:
        """The offset after the last one taken; None when none was."""
        queue = self.queues.get(place)
        return None if queue is None else queue.next or None

    def committed(self, marks: Mapping[Place, int]) -> None:
        """Kafka has these."""
        note_committed(self.queues, marks)

    def publish_metrics(self) -> None:
        """Hand counts to Prometheus."""
        age = commit_age(self.queues.values(), self._clock())
        busy = sum(one.is_busy for one in self.queues.values())
        self.meters.publish(in_flight=busy, buffered=self.room.records, buffered_bytes=self.room.bytes, commit_age=age, breakers=())

    # --- inside ---

    def _open(self, place: Place) -> Queue:
        queue = self.queues[place] = Queue(place, is_positioned=self._start_offset is None)
        queue.task = asyncio.create_task(self._run(queue))
        queue.task.add_done_callback(self._note_end)
        return queue

    def _note_end(self, worker: asyncio.Task[None]) -> None:
        self.has_broken = self.has_broken or has_broken(worker, self.stage)

    async def _end(self, queues: Sequence[Queue], seconds: float) -> None:
        tasks = [one.task for one in queues if one.task is not None]
        for queue in queues:
            queue.end()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:  # its transaction ends without us; the next owner finds the offset where the effect stands
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _run(self, queue: Queue) -> None:
        while queue.is_active and not self.is_stopped_by_refusals:
            if not queue.is_positioned:
                await self._insist(queue, self._position)
            elif queue.records:
                queue.is_busy = True
                await self._insist(queue, self._deliver)
                queue.is_busy = False
            else:
                queue.wake.clear()
                await queue.wake.wait()
                await self._gather(queue)

    async def _gather(self, queue: Queue) -> None:
        """After a lull the first record waits a moment for company: one effect for many records costs hardly more than for one."""
        if self._gather_seconds:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._gather_seconds):
                    await queue.gone.wait()

    async def _insist(self, queue: Queue, act: Callable[[Queue], Awaitable[None]]) -> None:
        """Do it, and again after a pause for as long as something outside is away and the partition is ours."""
        pauses = 0
        while queue.is_active:
            try:
                await act(queue)
                return
            except Unavailable as error:
                outage = error
            except Exception as error:
                logger.error("batch_failed", stage=self.stage, **_where(queue.place), defect=defect_of(error))
                outage = Unavailable(self.stage, type(error).__name__)
            pauses += 1
            self.meters.note_retry(outage.target)
            if pauses in (1, 10, 100):
                logger.warning(
                    "batch_put_off", stage=self.stage, **_where(queue.place), attempt=pauses, target=outage.target, why=outage.why
                )
            pause = pause_seconds(pauses, outage, self._chance, longest=self.settings.retry_max_seconds)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await queue.gone.wait()

    async def _position(self, queue: Queue) -> None:
        """Fetch from where the effect stands; nothing that was fetched before is wanted."""
        offset = queue.seek_to
        if offset is None and self._start_offset is not None:
            offset = await self._start_offset(*queue.place)
        if self._seek is not None and queue.is_active:
            await self._seek(queue.place, offset)
        queue.next = offset or 0
        queue.mark = offset
        queue.seek_to = None
        queue.is_positioned = True

    async def _deliver(self, queue: Queue) -> None:
        batch = list(itertools.islice(queue.records, self._max_batch))
        began = self._clock()
        try:
            stands_at = await self._handler(queue.place, batch)
        except Unavailable:
            raise
        except Exception as error:
            logger.error("batch_refused", stage=self.stage, **_where(queue.place), count=len(batch), defect=defect_of(error))
            await self._isolate(queue, batch, defect_of(error))
            return
        self._poison = 0
        self.meters.note((), self._clock() - began)
        self._advance(queue, batch, stands_at)

    async def _isolate(self, queue: Queue, batch: list[Record], defect: str) -> None:
        """One record at a time, so that only the poison is set aside."""
        for record in batch:
            if not queue.is_active or self.is_stopped_by_refusals:
                return
            try:
                if len(batch) > 1:
                    stands_at = await self._handler(queue.place, [record])
                    self._poison = 0
                else:
                    stands_at = await self._set_aside(record, defect)
            except Unavailable:
                raise
            except Exception as error:
                stands_at = await self._set_aside(record, defect_of(error))
            if not self._advance(queue, [record], stands_at):
                return

    async def _set_aside(self, record: Record, defect: str) -> int:
        stands_at = await self._on_poison(record, defect)
        logger.error("record_set_aside", stage=self.stage, **_where(record[:2]), offset=record.offset, defect=defect)
        self._poison += 1
        if self._poison >= self._poison_in_a_row:
            self.is_stopped_by_refusals = True
            logger.error("stopped_by_refusals", stage=self.stage, **_where(record[:2]), records=self._poison)
        return stands_at

    def _advance(self, queue: Queue, batch: list[Record], stands_at: int) -> bool:
        """The effect stands at an offset: go on behind the batch, or follow it to where somebody else has taken it."""
        if stands_at == batch[-1].offset + 1:
            for _ in batch:
                self.room.release(queue.records.popleft())
            queue.mark = stands_at
            return True
        logger.warning("partition_overtaken", stage=self.stage, **_where(queue.place), offset=batch[-1].offset + 1, reset_to=stands_at)
        for record in queue.records:
            self.room.release(record)
        queue.records.clear()
        queue.seek_to = stands_at
        queue.is_positioned = False
        return False


def _where(place: tuple[str, int]) -> dict[str, object]:
    return {"topic": place[0], "partition": place[1]}
