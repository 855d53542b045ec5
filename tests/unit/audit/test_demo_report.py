"""The report counts what ended, and waits for everything that has not."""

from typing import Any
from uuid import UUID

from services.audit.bookkeeping import Span
from services.audit.demo_report import report_of
from shared import topics
from shared.outcomes import TERMINAL, OutcomeRecorded

P, R, N = topics.PUBLISHED.name, topics.RECEIVED.name, topics.NORMALIZED.name
DONE = [Span(topic, 0, 0, 100, 100) for topic in (P, R, N)]
DOCUMENT = UUID("0b0e7c1e-6a64-5f43-8f44-2f3f6c0a8b11")


def row(topic: str, offset: int, status: str, *passed_on: str, event: str = "e", **changes: Any) -> dict[str, Any]:
    """A row of the log as the report reads it."""
    stage = {P: "ingest", R: "normalizer", N: "carepatron_writer"}[topic]
    empty = dict.fromkeys(["provider", "patient_id", "document_id", "document_type", "reason", "where", "action"])
    known = {"topic": topic, "partition": 0, "offset": offset, "part": 0, "stage": stage, "status": status, "passed_on": list(passed_on)}
    return {**empty, **known, "is_terminal": status in TERMINAL, "correlation_id": event, **changes}


def made(**facts: Any) -> OutcomeRecorded:
    """An outcome on its way."""
    return OutcomeRecorded(id="i", stage="ingest", status="received", timestamp="t", topic=P, partition=0, offset=0, **facts)


WHOLE = [
    row(P, 0, "received", f"{R}/0/0"),
    row(R, 0, "normalized", f"{N}/0/0", f"{N}/0/1"),
    row(N, 0, "created", action="upsert_patient"),
    row(N, 1, "created", action="write_document", document_id=DOCUMENT),
]


def test_a_whole_chain_is_not_in_flight_and_its_patient_counts_apart() -> None:
    report = report_of(["e"], WHOLE, DONE, [])

    assert (report["in_flight"], report["outcomes"], report["patients"]) == (0, {"created": 1}, {"created": 1})
    assert [one["document"] for one in report["rows"]] == [None, str(DOCUMENT)]


def test_every_unfinished_thing_keeps_it_in_flight() -> None:
    for index in range(len(WHOLE)):
        assert report_of(["e"], WHOLE[:index] + WHOLE[index + 1 :], DONE, [])["in_flight"] > 0, index
    assert report_of(["e", "unheard"], WHOLE, DONE, [])["in_flight"] == 1
    assert report_of(["e"], [row(P, 0, "received")], DONE, [])["in_flight"] == 1


def test_a_record_is_finished_when_its_group_has_committed_it() -> None:
    uncommitted = [Span(N, 0, 0, 2, 1), *DONE[:2]]

    assert report_of(["e"], WHOLE, uncommitted, [])["in_flight"] == 1


def test_outcomes_that_audit_has_not_read_keep_it_in_flight() -> None:
    assert report_of(["e"], WHOLE, DONE, [made(correlation_id="e")])["in_flight"] == 1
    assert report_of(["e"], WHOLE, DONE, [made(correlation_id="other")])["in_flight"] == 0
    assert report_of(["e"], WHOLE, DONE, None)["in_flight"] == 1


def test_refusals_come_with_sentence_and_owner() -> None:
    report = report_of(["e"], [row(P, 0, "rejected", reason="malformed_xml", where="line 3", provider="north")], DONE, [])

    assert (report["quarantined"], report["outcomes"]) == (1, {"rejected": 1})
    (line,) = report["rows"]
    assert (line["sentence"], line["owner"], line["where"]) == ("The XML is broken.", "provider", "line 3")
