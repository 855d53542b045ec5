"""The books, as pure values: what was passed on must be accounted for, item by item (DESIGN 7)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from shared import topics
from shared.outcomes import Stage, Status

NAMED_AT_MOST = 10_000  # what is missing beyond this is counted, not named


@dataclass(frozen=True, slots=True)
class Hop:
    """One stage and the topics that it must account for, each with the group that reads it."""

    stage: Stage
    groups: Mapping[str, str]  # topic → consumer group


HOPS = (
    Hop(Stage.INGEST, {topics.PUBLISHED.name: topics.INGEST_GROUP}),
    Hop(Stage.NORMALIZER, {topics.RECEIVED.name: topics.NORMALIZER_GROUP, topics.REPLAYED.name: topics.REPLAY_GROUP}),
    Hop(Stage.WRITER, {topics.NORMALIZED.name: topics.WRITER_GROUP}),
)
STAGE_OF = {topic: hop.stage for hop in HOPS for topic in hop.groups}


class Span(NamedTuple):
    """What Kafka says about one partition: offsets in [begin, end) are kept; below `committed` all work is said to be done."""

    topic: str
    partition: int
    begin: int
    end: int
    committed: int | None

    @property
    def done(self) -> int:
        """Where finished work ends; a group that never committed has finished nothing."""
        return self.begin if self.committed is None else min(self.committed, self.end)

    @property
    def low(self) -> int:
        """Where the group's duty begins: below `begin` only when retention has passed unread records."""
        return min(self.begin, self.done)


class Gap(NamedTuple):
    """Offsets first … last (both included) without a row in the log."""

    topic: str
    partition: int
    first: int
    last: int

    @property
    def size(self) -> int:
        """How many offsets it covers."""
        return max(0, self.last - self.first + 1)


@dataclass(frozen=True, slots=True)
class Missing:
    """A record that no outcome accounts for."""

    topic: str
    partition: int
    offset: int
    stage: str  # the stage that owes the outcome
    why: str  # no_outcome, passed_on_without_outcome, expired_unread
    document_id: str | None = None
    correlation_id: str | None = None
    provider_id: str | None = None

    @property
    def place(self) -> tuple[str, int, int]:
        """Its coordinates."""
        return self.topic, self.partition, self.offset


@dataclass(frozen=True, slots=True)
class Equation:
    """`left = Σ terms`; holds when the sum is right and nothing in it is missing or left hanging."""

    name: str
    left: int
    terms: dict[str, int]
    forbidden: frozenset[str] = frozenset(["missing", "left hanging"])

    @property
    def holds(self) -> bool:
        """True when it balances."""
        return self.left == sum(self.terms.values()) and not any(self.terms.get(one) for one in self.forbidden)


@dataclass(frozen=True, slots=True)
class Counted:
    """Rows of one stage and status."""

    stage: str
    status: str
    is_terminal: bool
    rows: int
    hanging: int  # rows that are not terminal and name nothing that they passed on
    passed_on: int  # coordinates named


@dataclass(frozen=True, slots=True)
class HopSums:
    """One hop in numbers of records."""

    records: int  # that Kafka holds, and those that retention took unread
    seen: int
    in_flight: int
    missing: int


@dataclass(frozen=True, slots=True)
class Books:
    """The books at one moment."""

    at: datetime
    equations: tuple[Equation, ...]
    missing: tuple[Missing, ...] = ()
    missing_unnamed: int = 0  # beyond NAMED_AT_MOST
    in_flight: int = 0
    waiting_for_audit: int = 0  # outcomes that audit has not read yet
    sums: dict[str, HopSums] = field(default_factory=dict)

    @property
    def missing_count(self) -> int:
        """All that is missing."""
        return len(self.missing) + self.missing_unnamed

    @property
    def books_balanced(self) -> bool:
        """True when nothing is missing and every equation holds."""
        return not self.missing_count and all(one.holds for one in self.equations)

    def as_dict(self) -> dict[str, Any]:
        """The books as JSON takes them."""
        return {
            "at": self.at.isoformat(timespec="seconds"),
            "books_balanced": self.books_balanced,
            "in_flight": self.in_flight,
            "waiting_for_audit": self.waiting_for_audit,
            "missing_count": self.missing_count,
            "missing": [asdict(one) for one in self.missing],
            "equations": [{"name": one.name, "left": one.left, "terms": one.terms, "holds": one.holds} for one in self.equations],
        }


def split_gaps(spans: Iterable[Span], gaps: Iterable[Gap]) -> tuple[list[Gap], list[Gap], list[Gap]]:
    """Gaps as (expired unread, owed, in flight): below what Kafka keeps, below what is said to be done, above it."""
    by_place = {(one.topic, one.partition): one for one in spans}
    expired: list[Gap] = []
    owed: list[Gap] = []
    in_flight: list[Gap] = []
    for gap in gaps:
        span = by_place[gap.topic, gap.partition]
        for into, low, high in (
            (expired, span.low, span.begin),
            (owed, span.begin, max(span.done, span.begin)),
            (in_flight, max(span.done, span.begin), span.end),
        ):
            cut = gap._replace(first=max(gap.first, low), last=min(gap.last, high - 1))
            if cut.size:
                into.append(cut)
    return expired, owed, in_flight


def equations(counted: Sequence[Counted], sums: Mapping[str, HopSums], open_items: Mapping[str, tuple[int, int]]) -> tuple[Equation, ...]:
    """The lines of the books. `open_items`: stage that passed on → (in flight, missing) among the coordinates that it named."""
    lines: list[Equation] = []
    names = {Stage.INGEST: "published", Stage.NORMALIZER: "received", Stage.WRITER: "normalized"}
    for stage, name in names.items():
        hop = sums.get(stage, HopSums(0, 0, 0, 0))
        lines.append(
            Equation(f"{name} records", hop.records, {"with an outcome": hop.seen, "in flight": hop.in_flight, "missing": hop.missing})
        )
        lines.append(_ended(name, stage, counted))
        if stage is not Stage.WRITER:
            passed = sum(one.passed_on for one in counted if one.stage == stage)
            waiting, lost = open_items.get(stage, (0, 0))
            reached = "reached the normalizer" if stage is Stage.INGEST else "terminal"
            lines.append(
                Equation(f"passed on by {stage}", passed, {reached: passed - waiting - lost, "in flight": waiting, "missing": lost})
            )
    return tuple(lines)


def _ended(name: str, stage: Stage, counted: Sequence[Counted]) -> Equation:
    """Every item of a stage was passed on or has ended there."""
    own = [one for one in counted if one.stage == stage and one.status != Status.REQUESTED]  # a request is no document
    terms: dict[str, int] = {}
    for one in own:
        label = "quarantined" if one.status in ("rejected", "failed") and stage is Stage.INGEST else one.status
        if not one.is_terminal:
            label = "passed on"
            terms["left hanging"] = terms.get("left hanging", 0) + (one.rows if stage is Stage.WRITER else one.hanging)
        kept = one.rows if one.is_terminal else (0 if stage is Stage.WRITER else one.rows - one.hanging)
        terms[label] = terms.get(label, 0) + kept
    ordered = dict(sorted((item for item in terms.items() if item[1]), key=lambda item: (item[0] != "passed on", item[0])))
    return Equation(f"items of {name} records", sum(one.rows for one in own), ordered)


def books_line(books: Books) -> str:
    """The books in one sentence for the dashboard and the command line."""
    if books.missing_count:
        noun = "record is" if books.missing_count == 1 else "records are"
        return f"{books.missing_count} {noun} unaccounted for."
    if not books.books_balanced:
        broken = ", ".join(one.name for one in books.equations if not one.holds)
        return f"The sums do not agree: {broken}."
    until = f"{books.at:%H:%M}"
    if books.in_flight:
        noun = "item is" if books.in_flight == 1 else "items are"
        return f"Every document published until {until} is accounted for; {books.in_flight} {noun} still on the way."
    return f"Every document published until {until} is accounted for."
