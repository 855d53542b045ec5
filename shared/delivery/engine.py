"""The delivery engine, keyed form: one record of a key at a time, keys side by side, an offset marked when all is recorded.

Records come in through `submit`, marks go out through `marks`; `polling.py` polls and commits.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from shared.delivery.backoff import pause_seconds
from shared.delivery.breaker import BreakerLimits
from shared.delivery.gate import Gate
from shared.delivery.lanes import Lane, PartitionLanes
from shared.delivery.line import Line
from shared.delivery.meters import Meters
from shared.delivery.records import Handler, Record
from shared.delivery.refusals import RefusalGuard, RefusalLimits
from shared.delivery.room import Room, settle
from shared.delivery.schedule import Schedule
from shared.errors import Unavailable
from shared.logs import defect_of, get_logger
from shared.outcomes import Failed, Outcome, Outcomes, Rejected, Stage
from shared.settings import ServiceSettings

Place = tuple[str, int]  # topic, partition

TURN_SECONDS = 0.005  # work in a row before the event loop (and with it the heartbeats) gets a turn
TURNS = 16  # records of one lane before it goes to the end of the line
ROOM_WAIT_SECONDS = 1.0
OUTAGE_LINE_SECONDS = 1.0

logger = get_logger(__name__)


class Recorder(Protocol):
    """Where outcomes go."""

    async def record(self, record: Record, outcomes: Outcomes, *, attempt: int, duration_ms: int) -> None:
        """Return when everything is acknowledged; raise Unavailable otherwise."""
        ...


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
        self.meters = Meters(stage.value)
        self.partitions: dict[Place, PartitionLanes] = {}
        self.is_stopped_by_refusals = False
        self.in_flight = 0
        self.room = Room(settings.buffered_records, settings.buffered_bytes)
        self._handler = handler
        self._recorder = recorder
        self._clock = clock
        self._chance = chance
        self._guard = RefusalGuard(refusals or RefusalLimits())
        self._line = Line()
        self._schedule: Schedule[Lane] = Schedule(clock, self._let_go)
        self._gate = Gate(target_of, breaker or BreakerLimits(), clock, self._let_go, stage)
        self._epoch = 0
        self._outages: dict[str, tuple[float, int]] = {}
        self._turn_began = 0.0
        self._turn: asyncio.Future[None] | None = None
        self._is_taking = False
        self._workers: list[asyncio.Task[None]] = []
        self._quiet: asyncio.Future[None] | None = None

    # --- what the subscription calls ---

    def start(self) -> None:
        """Set the workers up; needs a running event loop."""
        self._is_taking = True
        self._workers = [asyncio.create_task(self._work()) for _ in range(self.settings.workers)]

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
            lane = partition.append(record)
            if lane is not None:
                self._line.put(lane)
        if room.is_full:
            await room.wait(ROOM_WAIT_SECONDS)

    @property
    def is_ready(self) -> bool:
        """Whether the engine takes records."""
        return self._is_taking and not self.is_stopped_by_refusals

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
        now = self._clock()
        found: dict[Place, int] = {}
        for place, partition in self.partitions.items():
            mark = partition.tracker.mark
            if mark is not None and mark != partition.committed:
                found[place] = mark
                if partition.dirty_since is None:
                    partition.dirty_since = now
        return found

    def mark_of(self, place: Place) -> int | None:
        """The first offset of a partition that is not done; None when that is not known."""
        partition = self.partitions.get(place)
        return None if partition is None else partition.tracker.mark

    def committed(self, marks: Mapping[Place, int]) -> None:
        """The broker has these."""
        for place, mark in marks.items():
            partition = self.partitions.get(place)
            if partition is not None:
                partition.committed = mark
                partition.dirty_since = None

    async def revoked(self, places: Iterable[Place], *, wait_seconds: float) -> dict[Place, int]:
        """Partitions go to others: stop their lanes, wait for what is in flight, give back the last marks and forget them."""
        going = [self.partitions[place] for place in places if place in self.partitions]
        for partition in going:
            partition.is_active = False
        await self._wait_until_quiet(going, wait_seconds)
        marks = self.marks()
        last = {(one.topic, one.partition): marks[one.topic, one.partition] for one in going if (one.topic, one.partition) in marks}
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
        now = self._clock()
        age = max((now - one.dirty_since for one in self.partitions.values() if one.dirty_since is not None), default=0.0)
        breakers = [(one.target, one.is_open) for one in self._gate.breakers.values()]
        self.meters.publish(
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

    async def _work(self) -> None:
        """One worker, for as long as the engine runs."""
        while True:
            lane = await self._line.take()
            partition = lane.partition
            for _ in range(TURNS):
                if not partition.is_active or not self._is_taking or (self._gate.breakers and self._gate.holds(lane)):
                    break
                partition.in_flight += 1
                self.in_flight += 1
                try:
                    is_busy = await self._deliver(lane, lane.records[0])
                finally:
                    partition.in_flight -= 1
                    self.in_flight -= 1
                    if self._quiet is not None and not partition.in_flight:
                        settle(self._quiet)
                if self._turn is not None or self._clock() - self._turn_began > TURN_SECONDS:
                    await self._give_way()
                if not is_busy:
                    break
            else:
                self._line.put(lane)

    async def _give_way(self) -> None:
        """Let the event loop do everything else that is due. All workers give way together: one after the other they would not."""
        while self._turn is not None:
            await asyncio.shield(self._turn)
        if self._clock() - self._turn_began > TURN_SECONDS:
            self._turn = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(self._begin_turn)
            await asyncio.shield(self._turn)

    def _begin_turn(self) -> None:
        turn, self._turn = self._turn, None
        self._turn_began = self._clock()
        if turn is not None:
            settle(turn)

    async def _deliver(self, lane: Lane, record: Record) -> bool:
        """Handle and record the head of a lane; True when the lane may go on with its next record."""
        began = self._clock()
        if not lane.attempt:
            lane.began = began
        try:
            outcomes = lane.outcomes
            if outcomes is None:
                lane.attempt += 1
                try:
                    outcomes = await self._handler(record) or [Failed("NoOutcome")]
                except Unavailable:
                    raise
                except (Exception, asyncio.CancelledError) as error:
                    if _is_cancelled():  # this worker itself, not something inside the handler
                        raise
                    outcomes = [Failed(defect_of(error))]
                lane.outcomes = outcomes
            await self._recorder.record(record, outcomes, attempt=lane.attempt, duration_ms=int((self._clock() - began) * 1000))
        except Unavailable as outage:
            self._put_off(lane, outage)
            return False
        except Exception as error:  # recording has a defect: nothing may be marked that is not recorded
            logger.error("recording_failed", **self._place(record), defect=defect_of(error))
            self._put_off(lane, Unavailable("recorder", type(error).__name__))
            return False
        return self._finish(lane, record, outcomes)

    def _finish(self, lane: Lane, record: Record, outcomes: Outcomes) -> bool:
        partition = lane.partition
        if self._gate.breakers:
            self._gate.succeed(lane, outcomes)
        refused = failed = 0
        for one in outcomes:
            kind = type(one)
            if kind is Rejected or kind is Failed:
                refused += 1
                failed += kind is Failed
                self._log_refusal(record, one, lane.attempt)
        self.meters.note(outcomes, self._clock() - lane.began)
        if partition.is_dropped:  # while this was in flight: its next owner does it again
            return False
        has_more = partition.finish(lane, record.offset)
        self.room.release(record)
        if self._guard.is_too_much(partition, len(outcomes), refused, failed):
            self._stop_by_refusals(partition)
        return has_more

    def _log_refusal(self, record: Record, outcome: Outcome, attempt: int) -> None:
        if isinstance(outcome, Rejected):
            logger.warning("record_rejected", **self._place(record), reason=outcome.reason.value, where=outcome.where, attempt=attempt)
        elif isinstance(outcome, Failed):
            logger.error("record_failed", **self._place(record), defect=outcome.defect, attempt=attempt)

    def _put_off(self, lane: Lane, outage: Unavailable) -> None:
        """The head stays where it is and is tried again: after a pause of its own, or when the breaker of its target says so."""
        lane.pauses += 1
        self.meters.note_retry(outage.target)
        if not lane.partition.is_active:
            return
        self._log_outage(lane, outage)
        if not self._gate.fail(lane, outage):
            self._schedule.put(lane, pause_seconds(lane.pauses, outage, self._chance, longest=self.settings.retry_max_seconds))

    def _log_outage(self, lane: Lane, outage: Unavailable) -> None:
        """A line a second for each target, with how many tries it stands for: an outage meets every lane."""
        now = self._clock()
        since, count = self._outages.get(outage.target, (now - OUTAGE_LINE_SECONDS, 0))
        if now - since < OUTAGE_LINE_SECONDS:
            self._outages[outage.target] = (since, count + 1)
            return
        self._outages[outage.target] = (now, 0)
        logger.warning(
            "try_put_off", **self._place(lane.records[0]), attempt=lane.pauses, target=outage.target, why=outage.why, retries=count + 1
        )

    def _stop_by_refusals(self, partition: PartitionLanes) -> None:
        if self.is_stopped_by_refusals:
            return
        self.is_stopped_by_refusals = True
        self._is_taking = False
        logger.error(
            "stopped_by_refusals", stage=self.stage.value, topic=partition.topic, partition=partition.partition, records=self.meters.done
        )

    def _place(self, record: Record) -> dict[str, object]:
        return {"stage": self.stage.value, "topic": record.topic, "partition": record.partition, "offset": record.offset}


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
