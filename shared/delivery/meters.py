"""What the engine counts between two looks of Prometheus: plain numbers on the path, metrics once a second."""

from collections import Counter
from collections.abc import Iterable

from shared import metrics
from shared.outcomes import Done, Outcomes, Reason, Rejected, Skipped, Status, Unchanged

REFUSED = frozenset([Status.REJECTED, Status.FAILED])  # their records lie in quarantine


class Meters:
    """Counts of one engine, written to `shared.metrics` by `publish`."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._outcomes: Counter[tuple[Status, Reason | None]] = Counter()
        self._retries: Counter[str] = Counter()
        self._durations: list[float] = []
        self._in_flight = metrics.IN_FLIGHT.labels(self._stage)
        self._buffered = metrics.BUFFERED.labels(self._stage)
        self._buffered_bytes = metrics.BUFFERED_BYTES.labels(self._stage)
        self._commit_age = metrics.COMMIT_AGE_SECONDS.labels(self._stage)
        self._handled = metrics.HANDLED_SECONDS.labels(self._stage)
        self._shown = (0, 0, 0)
        self.done = 0  # records done since the start

    def note(self, outcomes: Outcomes, seconds: float) -> None:
        """One record is done."""
        self.done += 1
        self._durations.append(seconds)
        counts = self._outcomes
        for one in outcomes:
            kind = type(one)
            if kind is Done or kind is Unchanged:
                counts[one.status, None] += 1
            elif isinstance(one, (Rejected, Skipped)):
                counts[one.status, one.reason] += 1
            else:
                counts[one.status, Reason.DEFECT] += 1

    def note_retry(self, target: str) -> None:
        """One try was put off."""
        self._retries[target] += 1

    def publish(
        self, *, in_flight: int, buffered: int, buffered_bytes: int, commit_age: float, breakers: Iterable[tuple[str, bool]]
    ) -> None:
        """Hand the counts over."""
        for (status, reason), count in self._outcomes.items():
            metrics.OUTCOMES.labels(self._stage, status.value, reason.value if reason else "").inc(count)
            if reason and status in REFUSED:
                metrics.QUARANTINED.labels(self._stage, reason.value).inc(count)
        for target, count in self._retries.items():
            metrics.RETRIES.labels(self._stage, target).inc(count)
        for seconds in self._durations:
            self._handled.observe(seconds)
        self._outcomes.clear()
        self._retries.clear()
        self._durations.clear()
        now = (in_flight, buffered, buffered_bytes)
        for gauge, value, before in zip((self._in_flight, self._buffered, self._buffered_bytes), now, self._shown, strict=True):
            gauge.inc(value - before)  # a process may have two engines for one stage
        self._shown = now
        self._commit_age.set(commit_age)
        for target, is_open in breakers:
            metrics.BREAKER_OPEN.labels(self._stage, target).set(1 if is_open else 0)
