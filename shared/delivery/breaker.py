"""The breaker of one target: when it is down for everybody, nobody asks but one probe at a time. Pure."""

from collections import deque
from dataclasses import dataclass, field

from shared.delivery.lanes import Lane


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """When a target counts as down, and how often it is asked then."""

    failures: int = 10  # outages in a row, nothing done in between
    lanes: int = 3  # different lanes that must have seen them
    first_pause_seconds: float = 1.0  # before the first probe
    longest_pause_seconds: float = 10.0  # between later ones; also how late the end of an outage may be noticed


@dataclass(slots=True)
class Breaker:
    """Closed: everything passes. Open: lanes are held, and from `probe_at` on one of them may try."""

    target: str
    limits: BreakerLimits
    is_open: bool = False
    is_shared: bool = True  # concerns every record, not only those for this target
    failures: int = 0
    probes: int = 0
    probe_at: float = 0.0
    probe: Lane | None = None
    held: deque[Lane] = field(default_factory=deque)
    seen_by: set[int] = field(default_factory=set)

    def fail(self, lane: Lane, now: float, *, is_target_down: bool, wish_seconds: float | None) -> None:
        """An outage was seen. Opens the breaker when it is the last straw, and puts off the next probe when a probe saw it."""
        if self.is_open:
            if lane is self.probe:
                self.probe = None
                self._wait(now, wish_seconds)
            return
        if wish_seconds is not None and not is_target_down:
            return  # a target that says when to come back is not down: its lanes wait as they were told
        self.failures += 1
        self.seen_by.add(id(lane))
        if is_target_down or (self.failures >= self.limits.failures and len(self.seen_by) >= self.limits.lanes):
            self.is_open = True
            self.probes = 0
            self._wait(now, wish_seconds)

    def succeed(self, lane: Lane, *, is_work_done: bool) -> list[Lane]:
        """A record came through. Gives back the lanes to let go when that closes the breaker."""
        if self.is_open:
            return self.close() if lane is self.probe else []
        if is_work_done:
            self.failures = 0
            self.seen_by.clear()
        return []

    def close(self) -> list[Lane]:
        """Let everything pass again."""
        self.is_open = False
        self.failures = self.probes = 0
        self.probe = None
        self.seen_by.clear()
        freed = [lane for lane in self.held if lane.partition.is_active]
        self.held.clear()
        return freed

    def admits(self, lane: Lane, now: float) -> bool:
        """Whether this lane may try now. When a probe is due, the lane that asks becomes the probe."""
        if not self.is_open or lane is self.probe:
            return True
        if self._is_probing or now < self.probe_at:
            return False
        self.probe = lane
        self.probes += 1
        return True

    def hold(self, lane: Lane, *, has_failed: bool) -> None:
        """Keep a lane until the breaker closes; lanes that saw the outage themselves are the better probes."""
        if has_failed:
            self.held.appendleft(lane)
        else:
            self.held.append(lane)

    def next_probe(self, now: float) -> Lane | None:
        """The held lane that should try now, if it is time."""
        if not self.is_open or self._is_probing or now < self.probe_at:
            return None
        while self.held:
            lane = self.held.popleft()
            if lane.partition.is_active:
                return lane
        return None

    @property
    def _is_probing(self) -> bool:
        return self.probe is not None and self.probe.partition.is_active

    def _wait(self, now: float, wish_seconds: float | None) -> None:
        pause = min(self.limits.longest_pause_seconds, self.limits.first_pause_seconds * 2.0 ** min(self.probes, 30))
        self.probe_at = now + max(pause, wish_seconds or 0.0)
