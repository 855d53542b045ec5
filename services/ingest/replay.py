"""Replays: received documents sent again through `document.replayed.v1`, in received order, each marked with the replay's id."""

import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from shared.delivery.records import Record
from shared.events import Event, EventType, read_event, write_headers
from shared.kafka import read_range, read_records
from shared.postgres import guarded, load_queries
from shared.topics import RECEIVED, REPLAYED

QUERIES = load_queries("services.ingest")
AT_ONCE = 200  # records on their way to the broker


class Sender(Protocol):
    """Writes to topics and waits for the broker."""

    async def send_all(self, items: Sequence[tuple[str, bytes | None, bytes | None, Sequence[tuple[str, bytes]]]]) -> list[str]:
        """Coordinates in input order; raises Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Selection:
    """What to replay. Empty fields do not narrow; `start` and `end` are offsets in every partition, `end` excluded."""

    provider: str | None = None
    patient: str | None = None
    document: str | None = None
    reason: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    partition: int | None = None
    start: int | None = None
    end: int | None = None

    @property
    def is_indexed(self) -> bool:
        """Whether the log knows the places, so that nothing needs to be scanned."""
        return bool(self.patient or self.document or self.reason)


@dataclass(slots=True)
class ReplayReport:
    """What was, or would be, sent again. `gone` are places whose bytes Kafka has no more."""

    replay_id: str
    records: int = 0
    providers: Counter[str] = field(default_factory=Counter)
    patients: set[bytes] = field(default_factory=set)
    gone: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The report for `--json`."""
        return {
            "replay_id": self.replay_id,
            "records": self.records,
            "patients": len(self.patients),
            "providers": dict(sorted(self.providers.items())),
            "gone": self.gone,
        }


async def replay(
    selection: Selection, bootstrap: list[str], pool: Any, sender: Sender | None, *, replay_id: str | None = None
) -> ReplayReport:
    """Send the selected documents again; without a sender only count them. Raises Unavailable: what was sent by then stays sent,
    and repeating the replay changes nothing."""
    report = ReplayReport(replay_id or str(uuid.uuid4()))
    waiting: list[tuple[str, bytes | None, bytes | None, Sequence[tuple[str, bytes]]]] = []
    async for record in _selected(selection, bootstrap, pool, report):
        event = again(record, report.replay_id)
        report.records += 1
        report.providers[event.providerid or "unknown"] += 1
        report.patients.add(record.key or b"")
        if sender:
            waiting.append((REPLAYED.name, record.key, record.value, write_headers(event)))
            if len(waiting) >= AT_ONCE:
                await sender.send_all(waiting)
                waiting = []
    if sender and waiting:
        await sender.send_all(waiting)
    return report


def again(record: Record, replay_id: str) -> Event:
    """The event of a received record as it is sent again: same content, same first receipt, the replay's id."""
    event = read_event(record.headers, None, default_type=EventType.DOCUMENT_RECEIVED, fallback_id=record.place)
    return replace(
        event,
        id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{replay_id}|{record.place}")),
        replayid=replay_id,
        origin=event.origin or record.place,
    )


async def _selected(selection: Selection, bootstrap: list[str], pool: Any, report: ReplayReport) -> AsyncIterator[Record]:
    """The records selected, in received order for each partition."""
    if selection.is_indexed:
        async with guarded():
            rows = await pool.fetch(
                QUERIES["find_received"], RECEIVED.name, selection.provider, selection.patient, selection.document, selection.reason
            )
        async for place, found in read_records(bootstrap, [row["place"] for row in rows]):
            if found is None:
                report.gone.append(place)
            elif _matches(found, selection):
                yield found
        return
    start = None if selection.start is None else dict.fromkeys(range(RECEIVED.partitions), selection.start)
    end = None if selection.end is None else dict.fromkeys(range(RECEIVED.partitions), selection.end)
    partitions = None if selection.partition is None else [selection.partition]
    bounds: dict[str, Any] = {"start": start, "end": end, "since_ms": selection.since_ms, "until_ms": selection.until_ms}
    async for one in read_range(bootstrap, RECEIVED.name, partitions=partitions, **bounds):
        if _matches(one, selection):
            yield one


def _matches(record: Record, selection: Selection) -> bool:
    """Whether a record is wanted, by what its envelope and its place say."""
    if selection.partition is not None and record.partition != selection.partition:
        return False
    if selection.start is not None and record.offset < selection.start:
        return False
    if selection.end is not None and record.offset >= selection.end:
        return False
    if selection.since_ms is not None and record.timestamp_ms < selection.since_ms:
        return False
    if selection.until_ms is not None and record.timestamp_ms >= selection.until_ms:
        return False
    return selection.provider is None or again(record, "").providerid == selection.provider
