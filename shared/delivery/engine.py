"""The delivery engine, keyed form: one record of a key at a time, keys side by side, an offset marked when all is recorded.

Records come in through `submit`, marks go out through `marks`; `polling.py` polls and commits.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from shared.delivery.books import Place, commit_age, moved_marks, note_committed
from shared.delivery.breaker import BreakerLimits
from shared.delivery.exits import has_broken
from shared.delivery.gate import Gate
from shared.delivery.lanes import Lane, PartitionLanes
from shared.delivery.line import Line
from shared.delivery.meters import Meters
from shared.delivery.records import Handler, Record
from shared.delivery.refusals import RefusalGuard, RefusalLimits
from shared.delivery.room import Room, settle
from shared.delivery.schedule import Schedule
from shared.delivery.turns import Turns
from shared.delivery.work import Recorder, Work
from shared.logs import get_logger
from shared.outcomes import Stage
from shared.settings import ServiceSettings

ROOM_WAIT_SECONDS = 1.0

logger = get_logger(__name__)


class DeliveryEngine:
    """Feeds a handler: at most `workers` records in flight, bounded buffers, retries, breakers, quarantine.

    `target_of` names the target that a record is for, when a service has several: then an outage of one holds only its records.
    """

    def __init__(
        self,
        *,
        stage: Stage,
        handler: Handler,
        recorder: Recorder,
        settings: ServiceSettings,
        target_of: Callable[[Record], str | None] | None = None,
        refusals: RefusalLimits | None = None,
        breaker: BreakerLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.stage = stage
        self.settings = settings
        self.partitions: dict[Place, PartitionLanes] = {}
        self.in_flight = 0
        self.room = Room(settings.buffered_records, settings.buffered_bytes)
        self._clock = clock
        self._line = Line()
        self._schedule: Schedule[Lane] = Schedule(clock, self._let_go)
        self._gate = Gate(target_of, breaker or BreakerLimits(), clock, self._let_go, stage)
        self._work = Work(
            stage=stage,
            handler=handler,
            recorder=recorder,
            gate=self._gate,
            schedule=self._schedule,
            guard=RefusalGuard(refusals or RefusalLimits()),
            room=self.room,
            longest_pause=settings.retry_max_seconds,
            clock=clock,
            chance=chance,
        )
        self._epoch = 0
        self._order = 0
        self._turns = Turns(clock)
        self._is_taking = False
        self._workers: list[asyncio.Task[None]] = []
        self._quiet: asyncio.Future[None] | None = None
        self.has_broken = False  # a worker ended by a defect: what it held would wait for ever

    # --- what the subscription calls ---

    def start(self) -> None:
        """Set the workers up; needs a running event loop."""
        self._is_taking = True
        self._workers = [asyncio.create_task(self._run()) for _ in range(self.settings.workers)]
        for worker in self._workers:
            worker.add_done_callback(self._note_end)

    async def submit(self, records: Sequence[Record]) -> None:
        """Take records over; returns when there is room for more, or after a second (see `room`). Never raises."""
        place: Place | None = None
        partition: PartitionLanes | None = None
        room = self.room
        for record in records:
            if partition is None or place != record[:2]:
                place = record[:2]
                partition = self.partitions.get(place) or self._open(place)
            if not partition.tracker.hand_out(record.offset):
                continue  # fetched a second time
            room.add(record)
            self._order += 1
            lane = partition.append(record, self._order)
            if lane is not None:
                self._line.put_fresh(lane)
        if room.is_full:
            await room.wait(ROOM_WAIT_SECONDS)

    @property
    def meters(self) -> Meters:
        """Counts of what was done."""
        return self._work.meters

    @property
    def is_stopped_by_refusals(self) -> bool:
        """Whether so much was refused that nothing more is taken."""
        return self._work.is_stopped_by_refusals

    @property
    def is_ready(self) -> bool:
        """Whether the engine takes records."""
        return self._is_taking and not self.is_stopped_by_refusals and not self.has_broken

    @property
    def open_targets(self) -> Sequence[str]:
        """Targets whose breaker is open."""
        return self._gate.open_targets

    def assigned(self, places: Iterable[Place]) -> None:
        """Partitions have become ours: each begins a new epoch."""
        for place in places:
            if place not in self.partitions:
                self._open(place)

    def marks(self) -> dict[Place, int]:
        """What may be committed: for each partition the first offset not done, where it has moved since the last commit."""
        return moved_marks(self.partitions.items(), self._clock())

    def held(self, place: Place) -> int:
        """How many records of a partition are taken and not done."""
        partition = self.partitions.get(place)
        return 0 if partition is None else partition.tracker.outstanding

    def mark_of(self, place: Place) -> int | None:
        """The first offset of a partition that is not done; None when that is not known."""
        partition = self.partitions.get(place)
        return None if partition is None else partition.tracker.mark

    def next_of(self, place: Place) -> int | None:
        """The offset after the last one taken; None when none was."""
        partition = self.partitions.get(place)
        return None if partition is None else partition.tracker.next

    def committed(self, marks: Mapping[Place, int]) -> None:
        """The broker has these."""
        note_committed(self.partitions, marks)

    async def revoked(self, places: Iterable[Place], *, wait_seconds: float) -> dict[Place, int]:
        """Partitions go to others: stop their lanes, wait for what is in flight, give back the last marks and forget them."""
        going = [self.partitions[place] for place in places if place in self.partitions]
        for partition in going:
            partition.is_active = False
        await self._wait_until_quiet(going, wait_seconds)
        last = moved_marks([((one.topic, one.partition), one) for one in going], self._clock())
        for partition in going:
            self._forget(partition)
        self._gate.forget_dropped()
        return last

    async def stop(self) -> dict[Place, int]:
        """Take nothing more, wait for what is in flight (at most `drain_seconds`), give back the last marks."""
        self._is_taking = False
        await self._wait_until_quiet(list(self.partitions.values()), self.settings.drain_seconds)
        if self.in_flight:
            logger.warning("drain_ended_early", stage=self.stage.value, in_flight=self.in_flight)
        marks = self.marks()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._workers.clear()
        self._schedule.clear()
        self._gate.clear()
        return marks

    def publish_metrics(self) -> None:
        """Hand counts to Prometheus; call it about once a second."""
        age = commit_age(self.partitions.values(), self._clock())
        breakers = [(one.target, one.is_open) for one in self._gate.breakers.values()]
        self._work.meters.publish(
            in_flight=self.in_flight, buffered=self.room.records, buffered_bytes=self.room.bytes, commit_age=age, breakers=breakers
        )

    # --- inside ---

    def _open(self, place: Place) -> PartitionLanes:
        self._epoch += 1
        partition = self.partitions[place] = PartitionLanes(*place, self._epoch)
        return partition

    def _forget(self, partition: PartitionLanes) -> None:
        for lane in partition.lanes.values():
            for record in lane.records:
                self.room.release(record)
        partition.drop()
        self.partitions.pop((partition.topic, partition.partition), None)

    def _let_go(self, lane: Lane) -> None:
        if lane.partition.is_active:
            self._line.put(lane)

    async def _wait_until_quiet(self, partitions: Sequence[PartitionLanes], seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while any(one.in_flight for one in partitions) and (left := until - loop.time()) > 0:
            self._quiet = loop.create_future()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._quiet
        self._quiet = None

    def _note_end(self, worker: asyncio.Task[None]) -> None:
        self.has_broken = self.has_broken or has_broken(worker, self.stage.value)

    async def _run(self) -> None:
        """One worker, for as long as the engine runs."""
        while True:
            lane = await self._line.take()
            partition = lane.partition
            while partition.is_active and self.is_ready and not (self._gate.breakers and self._gate.holds(lane)):
                partition.in_flight += 1
                self.in_flight += 1
                try:
                    is_busy = await self._work.deliver(lane, lane.records[0])
                finally:
                    partition.in_flight -= 1
                    self.in_flight -= 1
                    if self._quiet is not None and not partition.in_flight:
                        settle(self._quiet)
                if self._turns.is_over:
                    await self._turns.give_way()
                if not is_busy:
                    break
                if not self._line.is_first(lane):
                    self._line.put(lane)
                    break
