"""The gate in front of an engine's workers: one breaker for each target that failed, and the timers of their probes."""

from collections.abc import Callable, Sequence

from shared.delivery.breaker import Breaker, BreakerLimits
from shared.delivery.lanes import Lane
from shared.delivery.records import Record
from shared.delivery.schedule import Schedule
from shared.errors import Unavailable
from shared.logs import get_logger
from shared.outcomes import Done, Outcomes, Stage, Status

logger = get_logger(__name__)

# statuses that are decided without asking the target: they say nothing about its health
UNTOUCHED = frozenset([Status.SUPERSEDED, Status.DUPLICATE])


class Gate:
    """Holds lanes whose target is down and lets one of them probe."""

    def __init__(
        self,
        target_of: Callable[[Record], str | None] | None,
        limits: BreakerLimits,
        clock: Callable[[], float],
        let_go: Callable[[Lane], None],
        stage: Stage,
    ) -> None:
        self._target_of = target_of
        self._limits = limits
        self._clock = clock
        self._let_go = let_go
        self._stage = stage
        self._probes: Schedule[Breaker] = Schedule(clock, self._probe)
        self.breakers: dict[str, Breaker] = {}

    def holds(self, lane: Lane) -> bool:
        """True when the lane must wait; it is kept here and let go in time."""
        now = self._clock()
        for breaker in self.breakers.values():
            if breaker.is_open and self._concerns(breaker, lane.records[0]) and not breaker.admits(lane, now):
                breaker.hold(lane, has_failed=False)
                return True
        return False

    def fail(self, lane: Lane, outage: Unavailable) -> bool:
        """Note an outage; True when the lane is kept here, False when it shall wait by itself."""
        now = self._clock()
        breaker = self.breakers.get(outage.target)
        if breaker is None:
            breaker = self.breakers[outage.target] = Breaker(outage.target, self._limits)
        if self._target_of is not None:
            breaker.is_shared = self._target_of(lane.records[0]) != outage.target
        for other in self.breakers.values():
            if other is not breaker and other.probe is lane:  # it met something else that is down: another lane shall probe
                other.probe = None
                self._probes.put(other, self._limits.first_pause_seconds)
        was_open = breaker.is_open
        was_probe = breaker.probe is lane
        breaker.fail(lane, now, is_target_down=outage.is_target_down, wish_seconds=outage.retry_after_seconds)
        if not breaker.is_open:
            return False
        if not was_open:
            logger.warning("breaker_opened", stage=self._stage.value, target=outage.target, why=outage.why)
        if not was_open or was_probe:
            self._probes.put(breaker, breaker.probe_at - now)
        breaker.hold(lane, has_failed=True)
        return True

    def succeed(self, lane: Lane, outcomes: Outcomes) -> None:
        """Note that a record came through. Call it before the lane moves on."""
        is_work_done = any(isinstance(one, Done) and one.status not in UNTOUCHED for one in outcomes)
        for breaker in self.breakers.values():
            if lane is breaker.probe or self._concerns(breaker, lane.records[0]):
                was_open = breaker.is_open
                freed = breaker.succeed(lane, is_work_done=is_work_done)
                if was_open and not breaker.is_open:
                    logger.warning("breaker_closed", stage=self._stage.value, target=breaker.target, count=len(freed))
                for one in freed:
                    self._let_go(one)

    def forget_dropped(self) -> None:
        """Lanes of dropped partitions are not waited for; a probe among them makes room for another."""
        for breaker in self.breakers.values():
            breaker.held = type(breaker.held)(lane for lane in breaker.held if lane.partition.is_active)
            if breaker.probe is not None and not breaker.probe.partition.is_active:
                breaker.probe = None
                self._probes.put(breaker, self._limits.first_pause_seconds)

    def clear(self) -> None:
        """Stop all timers."""
        self._probes.clear()

    @property
    def open_targets(self) -> Sequence[str]:
        """Targets that are considered down."""
        return [one.target for one in self.breakers.values() if one.is_open]

    def _concerns(self, breaker: Breaker, record: Record) -> bool:
        return self._target_of is None or breaker.is_shared or self._target_of(record) == breaker.target

    def _probe(self, breaker: Breaker) -> None:
        now = self._clock()
        if not breaker.is_open or (breaker.probe is not None and breaker.probe.partition.is_active):
            return
        if now < breaker.probe_at:
            self._probes.put(breaker, breaker.probe_at - now)
            return
        lane = breaker.next_probe(now)
        if lane is not None:
            self._let_go(lane)  # it passes `holds` as the probe
