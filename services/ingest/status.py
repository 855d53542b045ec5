"""How far a published document came, as the sync log tells it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from shared.outcomes import Stage
from shared.postgres import guarded, load_queries

SQL = load_queries("services.ingest")
MAX_OUTCOMES = 1000

State = Literal["pending", "processing", "done"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Rows of one stage and how many items they passed on."""

    rows: int = 0
    passed_on: int = 0


@dataclass(frozen=True, slots=True)
class DocumentStatus:
    """What is known of a published document; ids, codes and times only."""

    state: State
    outcomes: list[dict[str, Any]]


class StatusSource(Protocol):
    """Where the status comes from; raises Unavailable during an outage."""

    async def fetch(self, correlation_id: str) -> DocumentStatus: ...


class SyncLogStatus:
    """Reads audit's view."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def fetch(self, correlation_id: str) -> DocumentStatus:
        """The state and the outcomes so far; the first thousand of them."""
        async with guarded():
            counts = await self._pool.fetch(SQL["count_progress"], correlation_id)
            rows = await self._pool.fetch(SQL["fetch_outcomes"], correlation_id, MAX_OUTCOMES) if counts else []
        state = state_of({row["stage"]: Progress(row["rows"], row["passed_on"]) for row in counts})
        return DocumentStatus(state, [_plain(row) for row in rows])


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row for JSON: what is known, ids as text, times in RFC 3339."""
    known = {name: value for name, value in row.items() if value is not None}
    return {name: value.isoformat() if isinstance(value, datetime) else str(value) for name, value in known.items()}


def state_of(progress: Mapping[str, Progress]) -> State:
    """Done when every stage has accounted for what the stage before passed on (the books of this one document)."""
    if not progress:
        return "pending"
    ingest, normalizer, writer = (progress.get(stage, Progress()) for stage in (Stage.INGEST, Stage.NORMALIZER, Stage.WRITER))
    is_done = ingest.rows and normalizer.rows >= ingest.passed_on and writer.rows >= normalizer.passed_on
    return "done" if is_done else "processing"
