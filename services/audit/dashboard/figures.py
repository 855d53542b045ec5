"""What the dashboard shows, as plain values: the flow, what became of documents, what needs someone."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.audit.log_query import SQL
from services.audit.playbook import play_of
from shared.outcomes import Owner, Stage
from shared.postgres import guarded

GOOD = frozenset(["created", "updated", "unchanged", "withdrawn"])
QUIET = frozenset(["duplicate", "superseded", "skipped"])
ORDER = ["created", "updated", "unchanged", "withdrawn", "superseded", "duplicate", "skipped", "rejected", "failed"]
OWNERS = {Owner.CLINIC: "the clinic", Owner.PROVIDER: "the provider", Owner.OPERATIONS: "operations", Owner.DEVELOPERS: "the developers"}
CHART_HEIGHT = 48
KEEP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Flow:
    """One station on a document's way."""

    name: str
    what: str
    day: int
    hour: int


@dataclass(frozen=True, slots=True)
class Ending:
    """One terminal status of documents in the last day; `share` of all in percent."""

    status: str
    count: int
    share: float
    mood: str


@dataclass(frozen=True, slots=True)
class Task:
    """A reason that somebody should look at."""

    reason: str
    sentence: str
    fix: str
    owner: str
    count: int
    newest: datetime


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour of the chart."""

    x: int
    y: float
    height: float
    label: str


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything above the log."""

    flow: list[Flow]
    endings: list[Ending]
    patients: int
    tasks: list[Task]
    bars: list[Bar]
    at: datetime


def mood_of(status: str) -> str:
    """How a status is coloured: good, quiet, bad or under way."""
    if status in GOOD:
        return "good"
    if status in QUIET:
        return "quiet"
    return "bad" if status in ("rejected", "failed") else "way"


class RecentFigures:
    """Figures that are at most `keep_seconds` old: many viewers cost the database one look."""

    def __init__(self, pool: Any, *, keep_seconds: float = KEEP_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._keep_seconds = keep_seconds
        self._clock = clock
        self._lock = asyncio.Lock()
        self._found: Figures | None = None
        self._found_at = 0.0

    async def get(self) -> Figures:
        """The figures. Raises Unavailable."""
        async with self._lock:
            if self._found is None or self._clock() - self._found_at > self._keep_seconds:
                self._found = await fetch_figures(self._pool)
                self._found_at = self._clock()
            return self._found


async def fetch_figures(pool: Any) -> Figures:
    """Read what is needed, in one connection. Raises Unavailable."""
    async with guarded(), pool.acquire() as connection:
        counts = await connection.fetch(SQL["count_by_stage"])
        hours = await connection.fetch(SQL["count_by_hour"])
        reasons = await connection.fetch(SQL["find_open_reasons"])
    return figures_of(counts, hours, reasons, datetime.now(UTC))


def figures_of(
    counts: Iterable[Mapping[str, Any]], hours: Iterable[Mapping[str, Any]], reasons: Iterable[Mapping[str, Any]], at: datetime
) -> Figures:
    """Put the figures together (pure)."""
    counted = list(counts)

    def flow(name: str, what: str, stage: Stage, statuses: frozenset[str] | None = None) -> Flow:
        own = [
            one for one in counted if one["stage"] == stage and not one["is_patient"] and (statuses is None or one["status"] in statuses)
        ]
        return Flow(name, what, sum(one["day"] for one in own), sum(one["hour"] for one in own))

    endings: dict[str, int] = {}
    for one in counted:
        if one["is_terminal"] and not one["is_patient"]:
            endings[one["status"]] = endings.get(one["status"], 0) + one["day"]
    total = sum(endings.values()) or 1
    known = sorted(endings, key=lambda status: (ORDER.index(status) if status in ORDER else len(ORDER), status))
    return Figures(
        flow=[
            flow("Published", "by providers", Stage.INGEST),
            flow("Received", "readable and new", Stage.INGEST, frozenset(["received"])),
            flow("Normalized", "in the canonical model", Stage.NORMALIZER, frozenset(["normalized"])),
            flow("On the platform", "written or already there", Stage.WRITER, GOOD),
        ],
        endings=[Ending(status, endings[status], round(100 * endings[status] / total, 1), mood_of(status)) for status in known],
        patients=sum(one["day"] for one in counted if one["is_patient"] and one["is_terminal"]),
        tasks=tasks_of(reasons),
        bars=bars_of([(one["hour"], one["published"]) for one in hours]),
        at=at,
    )


def tasks_of(reasons: Iterable[Mapping[str, Any]]) -> list[Task]:
    """Reasons that somebody acts on; those that are nobody's business are left to the log."""
    tasks = []
    for one in reasons:
        play = play_of(one["reason"])
        if play is None or play.owner is not Owner.NOBODY:
            sentence = play.sentence if play else "This version does not know the reason yet."
            fix = play.fix if play else "See the log of the service that gave it."
            owner = OWNERS[play.owner] if play else OWNERS[Owner.OPERATIONS]
            tasks.append(Task(one["reason"], sentence, fix, owner, one["items"], one["newest"]))
    return sorted(tasks, key=lambda task: (-task.count, task.reason))


def bars_of(hours: list[tuple[datetime, int]]) -> list[Bar]:
    """The chart's bars, scaled to the busiest hour."""
    most = max((count for _, count in hours), default=0) or 1
    bars = []
    for index, (hour, count) in enumerate(hours):
        height = round(CHART_HEIGHT * count / most, 1) if count else 0.0
        height = max(height, 2.0) if count else 0.5
        bars.append(Bar(index * 10, CHART_HEIGHT - height, height, f"{hour:%H}:00: {count}"))
    return bars
