"""Searching the log: one filter for API, dashboard and command line; pages by a cursor that inserts do not disturb."""

import base64
import binascii
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shared.outcomes import Reason, Stage, Status
from shared.postgres import guarded, load_queries

SQL = load_queries("services.audit", "reading.sql")
MAX_LIMIT = 200
TIMELINE_ROWS = 1000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PLAIN = r"^[^\x00-\x1f\x7f]+$"
_CURSOR = struct.Struct(">qq")


def in_utc(moment: datetime) -> datetime:
    """The moment in UTC; one without zone is meant so."""
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError as error:
        raise ValueError("out of range") from error


Moment = Annotated[datetime, AfterValidator(in_utc)]
Id = Annotated[str, Field(max_length=1024, pattern=PLAIN)]


class LogFilter(BaseModel):
    """What to look for; everything given must be true of a row."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)

    patient: UUID | None = Field(default=None, description="patient id")
    document: UUID | None = Field(default=None, description="document id")
    provider: Id | None = Field(default=None, description="provider id")
    status: Status | None = Field(default=None, description="what became of it")
    stage: Stage | None = Field(default=None, description="the service that decided")
    reason: Reason | None = Field(default=None, description="why not")
    correlation: Id | None = Field(default=None, description="id of the published event")
    replay: Id | None = Field(default=None, description="id of a replay")
    since: Moment | None = Field(default=None, description="decided at or after this moment (RFC 3339; UTC without a zone)")
    until: Moment | None = Field(default=None, description="decided before this moment")
    terminal: bool | None = Field(default=None, description="only outcomes that end a document's way, or only the others")


CONDITIONS = {
    "patient": "patient_id = ${n}::uuid",
    "document": "document_id = ${n}::uuid",
    "provider": "provider = ${n}::text",
    "status": "status = ${n}::text",
    "stage": "stage = ${n}::text",
    "reason": "reason = ${n}::text",
    "correlation": "correlation_id = ${n}::text",
    "replay": "replay_id = ${n}::text",
    "since": '"timestamp" >= ${n}::timestamptz',
    "until": '"timestamp" < ${n}::timestamptz',
    "terminal": "is_terminal = ${n}::boolean",
}

DETAILS = [
    *("topic", "partition", "offset", "part", "origin", "destination_id", "source_version"),
    *("format", "sha256", "size", "rule", "warnings", "passed_on"),
]


@dataclass(frozen=True, slots=True)
class Position:
    """The last row of a page: time, then order of arrival."""

    timestamp: datetime
    received_order: int

    def encode(self) -> str:
        """As an opaque word for URLs."""
        micros = (self.timestamp - EPOCH) // timedelta(microseconds=1)
        return base64.urlsafe_b64encode(_CURSOR.pack(micros, self.received_order)).rstrip(b"=").decode()

    @classmethod
    def decode(cls, cursor: str) -> "Position":
        """Read it back; raises ValueError for anything that was not made by `encode`."""
        try:
            micros, order = _CURSOR.unpack(base64.b64decode(cursor + "==", altchars=b"-_", validate=True))
            return cls(EPOCH + timedelta(microseconds=micros), order)
        except (binascii.Error, struct.error, OverflowError, ValueError) as error:
            raise ValueError("not a cursor") from error


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, newest first, and where the next page goes on; None on the last one."""

    rows: list[dict[str, Any]]
    next_cursor: str | None


def page_statement(wanted: LogFilter, after: Position | None, limit: int) -> tuple[str, list[Any]]:
    """The statement of one page and its bound values (pure): only the fixed texts above ever become SQL."""
    values: list[Any] = []
    conditions: list[str] = []
    for name, condition in CONDITIONS.items():
        value = getattr(wanted, name)
        if value is not None:
            values.append(str(value) if isinstance(value, (Status, Stage, Reason)) else value)
            conditions.append(condition.format(n=len(values)))
    if after is not None:
        values += [after.timestamp, after.received_order]
        conditions.append(f'("timestamp", received_order) < (${len(values) - 1}::timestamptz, ${len(values)}::bigint)')
    values.append(limit)
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    return f'{SQL["select_rows"]} {where}ORDER BY "timestamp" DESC, received_order DESC LIMIT ${len(values)}', values


def presented(row: Any) -> dict[str, Any]:
    """A row as API, pages and command line show it: `details` holds codes, counts and coordinates, as in the view."""
    found = dict(row)
    extras = {name: found[name] for name in DETAILS if found[name] not in (None, [])}
    return {**found, "details": {**found["details"], **extras}}


async def fetch_page(pool: Any, wanted: LogFilter, *, cursor: str | None = None, limit: int = 50) -> Page:
    """One page. Raises ValueError for a bad cursor, Unavailable during an outage."""
    after = Position.decode(cursor) if cursor else None
    statement, values = page_statement(wanted, after, limit + 1)
    async with guarded():
        rows = [presented(row) for row in await pool.fetch(statement, *values)]
    has_more = len(rows) > limit
    rows = rows[:limit]
    return Page(rows, Position(rows[-1]["timestamp"], rows[-1]["received_order"]).encode() if has_more else None)


async def fetch_timeline(pool: Any, document_id: UUID) -> list[dict[str, Any]]:
    """Everything that happened to a document, oldest first, with what its events went through before it was recognised."""
    async with guarded():
        return [presented(row) for row in await pool.fetch(SQL["select_timeline"], document_id, TIMELINE_ROWS)]
