"""Turns what became of a record into outcome events and, for refusals, a quarantine event. All acknowledged, or it raises."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from shared import topics
from shared.delivery.producer import Item
from shared.delivery.records import Record
from shared.events import EventType, now_text, read_headers
from shared.identity import digest, outcome_id
from shared.outcomes import Facts, Failed, Outcome, OutcomeRecorded, Outcomes, Reason, Rejected, Skipped, Stage, encode_outcome

encode_json = msgspec.json.Encoder().encode

CONSTANT_HEADERS = (("ce_specversion", b"1.0"), ("content-type", b"application/json"))


class Sender(Protocol):
    """What the recorder needs of a producer."""

    async def send_all(self, items: Sequence[Item]) -> list[str]:
        """Send records together; raises Unavailable unless all of them were acknowledged."""
        ...


class OutcomeRecorder:
    """Writes the outcomes of a record to `outcome.recorded.v1`, after `document.quarantined.v1` when it was refused."""

    def __init__(self, producer: Sender, *, stage: Stage, now: Callable[[], str] = now_text) -> None:
        self._producer = producer
        self._stage = stage
        self._now = now

    async def record(self, record: Record, outcomes: Outcomes, *, attempt: int, duration_ms: int) -> None:
        """Record all outcomes of one record. Raises Unavailable; then the same call is made again, with the same ids."""
        seen = read_headers(record.headers)
        timestamp = self._now()
        recorded = [
            describe(self._stage, record, seen, outcome, timestamp=timestamp, attempt=attempt, duration_ms=duration_ms)
            for outcome in outcomes
        ]
        refused = [
            quarantine_item(record, row, seen)
            for row, outcome in zip(recorded, outcomes, strict=True)
            if isinstance(outcome, (Rejected, Failed))
        ]
        if refused:
            await self._producer.send_all(refused)  # first the bytes' reference, then the word that they were refused
        await self._producer.send_all([outcome_item(row) for row in recorded])


def describe(
    stage: Stage, record: Record, seen: dict[str, str], outcome: Outcome, *, timestamp: str, attempt: int, duration_ms: int
) -> OutcomeRecorded:
    """The row of one outcome: what the handler knows, and what the envelope says where the handler is silent."""
    facts: Facts = outcome.facts
    replay_id = seen.get("replayid")
    place = record.place
    reason: str | None = None
    if isinstance(outcome, (Skipped, Rejected)):
        reason = outcome.reason.value
    elif isinstance(outcome, Failed):
        reason = Reason.DEFECT.value
    return OutcomeRecorded(
        id=outcome_id(record.topic, record.partition, record.offset, stage.value, facts.part, replay_id),
        stage=stage.value,
        status=outcome.status.value,
        timestamp=timestamp,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        part=facts.part,
        action=facts.action.value if facts.action is not None else None,
        reason=reason,
        where=outcome.where if isinstance(outcome, Rejected) else None,
        defect=outcome.defect if isinstance(outcome, Failed) else None,
        patient_key=facts.patient_key,
        document_id=facts.document_id or seen.get("documentid"),
        document_type=facts.document_type,
        source_version=facts.source_version or seen.get("sourceversion"),
        provider_id=facts.provider_id or seen.get("providerid"),
        clinic_id=facts.clinic_id or seen.get("clinicid"),
        destination_id=facts.destination_id or seen.get("destinationid"),
        platform=facts.platform,
        external_id=facts.external_id,
        format=facts.format or seen.get("format"),
        sha256=facts.sha256 or seen.get("sha256"),
        size=facts.size if facts.size is not None else len(record.value or b""),
        rule=facts.rule,
        mapping_version=facts.mapping_version,
        warnings=facts.warnings,
        losses=facts.losses,
        nutrition=facts.nutrition,
        passed_on=facts.passed_on,
        attempt=attempt,
        duration_ms=duration_ms,
        correlation_id=facts.correlation_id or seen.get("correlationid") or seen.get("id") or place,
        replay_id=replay_id,
        origin=seen.get("origin") or place,
    )


def outcome_item(row: OutcomeRecorded) -> Item:
    """The record of an outcome event, keyed like the document it speaks of."""
    key = row.patient_key or row.document_id or f"{row.topic}/{row.partition}/{row.offset}"
    return topics.OUTCOMES.name, key.encode(), encode_outcome(row), _headers(row, EventType.OUTCOME_RECORDED)


def quarantine_item(record: Record, row: OutcomeRecorded, seen: dict[str, str]) -> Item:
    """The record of a quarantine event: where the bytes lie and why, never the bytes; nothing that a sender wrote is copied blindly."""
    content = record.value or b""
    value = {
        "id": row.id,
        "stage": row.stage,
        "topic": row.topic,
        "partition": row.partition,
        "offset": row.offset,
        "part": row.part,
        "reason": row.reason,
        "where": row.where,
        "defect": row.defect,
        "provider_id": row.provider_id,
        "document_id": row.document_id,
        "patient_key": row.patient_key,
        "correlation_id": row.correlation_id,
        "replay_id": row.replay_id,
        "sha256": digest(content),
        "size": len(content),
        "contentref": seen.get("contentref"),
        "timestamp": row.timestamp,
    }
    # a provider's own key may hold a patient's number: ours are ids
    key = None if record.topic == topics.PUBLISHED.name else record.key
    key = key if key is not None else (row.patient_key or row.document_id or record.place).encode()
    return topics.QUARANTINED.name, key, encode_json(value), _headers(row, EventType.DOCUMENT_QUARANTINED)


def _headers(row: OutcomeRecorded, type: EventType) -> list[tuple[str, bytes]]:
    """What `write_headers` gives for such an event, written out: this runs for every record."""
    source = f"urn:healthrecords:{row.stage}"
    given = (
        ("ce_type", type.value),
        ("ce_source", source),
        ("ce_id", row.id),
        ("ce_time", row.timestamp),
        ("ce_subject", row.patient_key or row.document_id),
        ("ce_providerid", row.provider_id),
        ("ce_documentid", row.document_id),
        ("ce_replayid", row.replay_id),
        ("ce_correlationid", row.correlation_id),
        ("ce_clinicid", row.clinic_id),
    )
    return [*CONSTANT_HEADERS, *((name, value.encode()) for name, value in given if value)]
