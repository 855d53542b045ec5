"""One try of one record: handle it, record what became of it, and decide what the lane does next."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from shared.delivery.backoff import pause_seconds
from shared.delivery.gate import Gate
from shared.delivery.lanes import Lane, PartitionLanes
from shared.delivery.meters import Meters
from shared.delivery.records import Handler, Record
from shared.delivery.refusals import RefusalGuard
from shared.delivery.room import Room
from shared.delivery.schedule import Schedule
from shared.errors import Unavailable
from shared.logs import defect_of, get_logger
from shared.outcomes import WAITING, Failed, Outcome, Outcomes, Rejected, Stage

OUTAGE_LINE_SECONDS = 1.0

logger = get_logger(__name__)


class Recorder(Protocol):
    """Where outcomes go."""

    async def record(self, record: Record, outcomes: Outcomes, *, attempt: int, duration_ms: int) -> None:
        """Return when everything is acknowledged; raise Unavailable otherwise."""
        ...


class Work:
    """What workers do with the head of a lane."""

    def __init__(
        self,
        *,
        stage: Stage,
        handler: Handler,
        recorder: Recorder,
        gate: Gate,
        schedule: Schedule[Lane],
        guard: RefusalGuard,
        room: Room,
        longest_pause: float,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self.meters = Meters(stage.value)
        self.is_stopped_by_refusals = False
        self._stage = stage
        self._handler = handler
        self._recorder = recorder
        self._gate = gate
        self._schedule = schedule
        self._guard = guard
        self._room = room
        self._longest_pause = longest_pause
        self._clock = clock
        self._chance = chance
        self._outages: dict[str, tuple[float, int]] = {}

    async def deliver(self, lane: Lane, record: Record) -> bool:
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
            if isinstance(one, Rejected):
                refused += one.reason not in WAITING
                self._log_refusal(record, one, lane.attempt)
            elif isinstance(one, Failed):
                refused += 1
                failed += 1
                self._log_refusal(record, one, lane.attempt)
        self.meters.note(outcomes, self._clock() - lane.began)
        if partition.is_dropped:  # while this was in flight: its next owner does it again
            return False
        has_more = partition.finish(lane, record.offset)
        self._room.release(record)
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
            self._schedule.put(lane, pause_seconds(lane.pauses, outage, self._chance, longest=self._longest_pause))

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
        logger.error(
            "stopped_by_refusals", stage=self._stage.value, topic=partition.topic, partition=partition.partition, records=self.meters.done
        )

    def _place(self, record: Record) -> dict[str, object]:
        return {"stage": self._stage.value, "topic": record.topic, "partition": record.partition, "offset": record.offset}


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
