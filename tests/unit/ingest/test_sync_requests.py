"""Requests to sync again."""

import asyncio
from typing import Any

import pytest

from services.ingest.replay import ReplayReport, Selection
from services.ingest.sync_requests import execute_requests
from shared.delivery.records import Record
from shared.events import write_headers
from shared.outcomes import Action, Done, Facts, Reason, Rejected, Status
from shared.sync_requests import SyncRequest, sync_event

PATIENT = "5f0c1c4e-6d0a-4d8c-9a53-0d5a3f3f1c11"


def _record(value: bytes, headers: tuple[tuple[str, bytes | None], ...] = ()) -> Record:
    return Record("sync.requested.v1", 0, 7, PATIENT.encode(), value, headers, 1_793_600_000_000)


def _run(record: Record, gone: tuple[str, ...] = ()) -> tuple[Any, list[tuple[Selection, str]]]:
    asked: list[tuple[Selection, str]] = []

    async def replay(selection: Selection, replay_id: str) -> ReplayReport:
        asked.append((selection, replay_id))
        return ReplayReport(replay_id, records=3, gone=list(gone))

    return asyncio.run(execute_requests(replay)(record)), asked


def test_a_request_is_carried_out_under_its_own_id() -> None:
    event = sync_event(SyncRequest(patient_key=PATIENT, since="2026-11-23T10:00:00+01:00"))
    outcomes, asked = _run(_record(event.data, tuple(write_headers(event))))

    assert [(Selection(patient=PATIENT, since_ms=1795424400000), event.id)] == asked
    assert [Done(Status.REQUESTED, Facts(action=Action.SYNC, patient_key=PATIENT))] == outcomes


def test_bytes_that_kafka_has_no_more_are_said() -> None:
    outcomes, _ = _run(_record(sync_event(SyncRequest(document_id=PATIENT)).data), gone=("document.received.v1/0/1",))

    assert outcomes[0].facts.warnings == ("bytes_expired",)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{}",
        b"null",
        b"[1]",
        b'{"patient":"x"}',
        b'{"patient_key":7}',
        b'{"since":"yesterday"}',
        b'{"since":"2026-11-23T10:00"}',
        b"[" * 5000,
    ],
)
def test_what_is_no_request_is_refused_and_nothing_is_sent(value: bytes) -> None:
    outcomes, asked = _run(_record(value))

    assert [Rejected(Reason.MALFORMED_ENVELOPE, "$", Facts(action=Action.SYNC))] == outcomes
    assert asked == []
