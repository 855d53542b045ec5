"""From a record on `outcome.recorded.v1` to a row of the log: pure, forgiving about details, strict about what makes a row.

What identifies an outcome must be right (id, stage, status, time, coordinates); anything else that cannot be kept is left out and named in
`details.unreadable`, so that the books still balance.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from shared.identity import outcome_id
from shared.outcomes import TERMINAL, LossCounts, OutcomeRecorded, Status, decode_outcome

MAX_INT = 2**31 - 1
MAX_BIGINT = 2**63 - 1
MAX_TEXT = 300  # ids, codes and paths are shorter; longer ones are cut
MAX_LIST = 20_000  # a record split into more items than this is refused at ingest
NOT_TERMINAL = frozenset(str(one) for one in frozenset(Status) - TERMINAL)
_WORD = re.compile(r"[a-z][a-z_]{0,39}")
_PATH = re.compile(r"[A-Za-z0-9_.\[\]/()-]{1,200}")  # of an element in the ledger
_MARK = re.compile(r"[a-z][a-z0-9_]{0,39}:[a-z_]{1,39}")
_PLACE = re.compile(r"[A-Za-z0-9._-]{1,249}/[0-9]{1,9}/[0-9]{1,18}")

Row = tuple[Any, ...]  # of the desk, in the order of `append_quarantined` in queries.sql
LogRow = dict[str, Any]  # by column of synchronization_log


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that cannot become a row; `where` names the field, never its content."""

    where: str


def row_of(value: bytes | None) -> LogRow | Unreadable:
    """The row of one outcome record."""
    if value is None:
        return Unreadable("value")
    try:
        outcome = decode_outcome(value)
    except msgspec.MsgspecError:
        return Unreadable("value")
    except RecursionError:  # nested without end in a field that we do not know
        return Unreadable("value")
    moment = moment_of(outcome.timestamp)
    key = uuid_of(outcome.id)
    faults = {
        "id": key is None,
        "timestamp": moment is None,
        "stage": not _WORD.fullmatch(outcome.stage),
        "status": not _WORD.fullmatch(outcome.status),
        "topic": not _PLACE.fullmatch(f"{outcome.topic}/0/0"),
        "partition": not 0 <= outcome.partition <= MAX_INT,
        "offset": not 0 <= outcome.offset <= MAX_BIGINT,
        "part": not 0 <= outcome.part <= MAX_INT,
    }
    for where, is_wrong in faults.items():
        if is_wrong:
            return Unreadable(where)
    return _row(outcome, key, moment)


def _row(outcome: OutcomeRecorded, key: UUID | None, moment: datetime | None) -> LogRow:
    patient_id = uuid_of(outcome.patient_key)
    document_id = uuid_of(outcome.document_id)
    passed_on = [place for place in outcome.passed_on[:MAX_LIST] if _PLACE.fullmatch(place)]
    unreadable = [
        name
        for name, is_lost in (
            ("patient_key", patient_id is None and outcome.patient_key is not None),
            ("document_id", document_id is None and outcome.document_id is not None),
            ("passed_on", len(passed_on) != len(outcome.passed_on)),
        )
        if is_lost
    ]
    details: dict[str, Any] = {}
    if outcome.defect:
        details["defect"] = clean(outcome.defect)
    if unreadable:
        details["unreadable"] = unreadable
    if outcome.losses is not None:
        details["losses"] = _losses(outcome.losses)
    if marks := [one for one in outcome.nutrition[:MAX_LIST] if _MARK.fullmatch(one)]:
        details["nutrition"] = marks
    return {
        "id": key,
        "patient_id": patient_id,
        "document_id": document_id,
        "action": clean(outcome.action),
        "timestamp": moment,
        "status": outcome.status,
        "details": details,
        "stage": outcome.stage,
        "reason": clean(outcome.reason),
        "where": clean(outcome.where),
        "platform": clean(outcome.platform),
        "external_id": clean(outcome.external_id),
        "provider": clean(outcome.provider_id),
        "attempt": bounded(outcome.attempt, MAX_INT),
        "duration_ms": bounded(outcome.duration_ms, MAX_BIGINT),
        "correlation_id": clean(outcome.correlation_id),
        "replay_id": clean(outcome.replay_id),
        "mapping_version": clean(outcome.mapping_version),
        "topic": outcome.topic,
        "partition": outcome.partition,
        "offset": outcome.offset,
        "part": outcome.part,
        "passed_on": passed_on,
        "origin": clean(outcome.origin),
        "clinic_id": clean(outcome.clinic_id),
        "destination_id": clean(outcome.destination_id),
        "document_type": clean(outcome.document_type),
        "source_version": clean(outcome.source_version),
        "format": clean(outcome.format),
        "sha256": clean(outcome.sha256),
        "size": None if outcome.size is None else bounded(outcome.size, MAX_BIGINT),
        "rule": clean(outcome.rule),
        "warnings": [one for one in map(clean, outcome.warnings[:MAX_LIST]) if one],
        "is_terminal": outcome.status not in NOT_TERMINAL,
    }


def _losses(losses: LossCounts) -> dict[str, Any]:
    """The counts of a reading; a path that is none is counted without its name."""
    paths = {path: bounded(count, MAX_INT) for path, count in list(losses.paths.items())[:MAX_LIST] if _PATH.fullmatch(path)}
    counts = {name: bounded(getattr(losses, name), MAX_INT) for name in ("mapped", "left_out", "unmapped")}
    return {**counts, "paths": paths}


def desk_id(topic: str, partition: int, offset: int) -> str:
    """The id of a record that audit itself set aside."""
    return outcome_id(topic, partition, offset, "audit")


def uuid_of(text: str | None) -> UUID | None:
    """The UUID that the text writes, None when it writes none."""
    if text is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        return None


def moment_of(text: str) -> datetime | None:
    """The moment in UTC (a time without zone is UTC by contract), None when the text is no moment."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def clean(text: str | None) -> str | None:
    """Text as PostgreSQL keeps it: no NUL, not longer than an id or a path; empty is absent."""
    if not text:
        return None
    if "\x00" in text or "\n" in text:
        text = text.replace("\x00", "").replace("\n", " ")
    return text[:MAX_TEXT] or None


def bounded(number: int, most: int) -> int:
    """The number inside 0…most."""
    return min(max(number, 0), most)
