import asyncio
import json

import pytest

from shared.delivery.producer import Item
from shared.delivery.recorder import OutcomeRecorder
from shared.errors import Unavailable
from shared.events import read_headers
from shared.identity import digest, outcome_id
from shared.outcomes import Action, Done, Facts, Failed, Reason, Rejected, Skipped, Stage, Status, Unchanged, decode_outcome
from tests.unit.shared.delivery.fakes import record

NOW = "2026-11-02T08:15:00.000Z"


class MemorySender:
    def __init__(self) -> None:
        self.calls: list[list[Item]] = []
        self.outages: list[bool] = []

    async def send_all(self, items):
        if self.outages and self.outages.pop(0):
            raise Unavailable("kafka")
        self.calls.append(list(items))
        return [f"{item[0]}/0/0" for item in items]


def recorded(outcomes, one=None, *, sender=None):
    sender = sender or MemorySender()
    recorder = OutcomeRecorder(sender, stage=Stage.NORMALIZER, now=lambda: NOW)
    asyncio.run(recorder.record(one or record(7, "key"), outcomes, attempt=2, duration_ms=13))
    return sender


def test_each_part_is_a_row_of_its_own():
    outcomes = [Done(Status.NORMALIZED, Facts(part=0)), Unchanged(Facts(part=1)), Skipped(Reason.NOT_RELEVANT, Facts(part=2, rule="old"))]
    (items,) = recorded(outcomes).calls
    rows = [decode_outcome(item[2] or b"") for item in items]

    assert [item[0] for item in items] == ["outcome.recorded.v1"] * 3
    assert [(row.status, row.reason, row.part, row.attempt, row.duration_ms) for row in rows] == [
        ("normalized", None, 0, 2, 13),
        ("unchanged", None, 1, 2, 13),
        ("skipped", "not_relevant", 2, 2, 13),
    ]
    assert [row.id for row in rows] == [outcome_id("t", 0, 7, "normalizer", part) for part in range(3)]


def test_a_refusal_is_quarantined_before_it_is_told():
    quarantined, told = recorded([Rejected(Reason.MALFORMED_HL7, "PID-3.1", Facts(patient_key="p"))]).calls

    assert [item[0] for item in quarantined] == ["document.quarantined.v1"]
    assert [item[0] for item in told] == ["outcome.recorded.v1"]


def test_when_quarantining_fails_nothing_is_told():
    sender = MemorySender()
    sender.outages = [True]
    with pytest.raises(Unavailable):
        recorded([Failed("KeyError at x:1")], sender=sender)

    assert sender.calls == []


def test_the_quarantine_event_names_the_bytes_and_holds_none_of_them():
    source = record(
        7,
        "key",
        value=b"SECRET-CONTENT",
        headers=[("ce_id", b"e"), ("x-secret", b"SECRET"), ("ce_providerid", b"north"), ("ce_contentref", b"sha256:1")],
    )
    (item,), _ = recorded([Rejected(Reason.MALFORMED_HL7, "MSH-9", Facts(document_id="d"))], source).calls
    value = json.loads(item[2] or b"")

    assert item[1] == b"key"
    assert b"SECRET" not in (item[2] or b"")
    assert not any(b"SECRET" in one or "secret" in name for name, one in item[3])
    assert value == {
        "id": outcome_id("t", 0, 7, "normalizer"),
        "stage": "normalizer",
        "topic": "t",
        "partition": 0,
        "offset": 7,
        "part": 0,
        "reason": "malformed_hl7",
        "where": "MSH-9",
        "defect": None,
        "provider_id": "north",
        "document_id": "d",
        "patient_key": None,
        "correlation_id": "e",
        "replay_id": None,
        "sha256": digest(b"SECRET-CONTENT"),
        "size": 14,
        "contentref": "sha256:1",
        "timestamp": NOW,
    }


def test_a_defect_is_told_with_its_place_and_the_reason_defect():
    _, (item,) = recorded([Failed("KeyError at services.x:1")]).calls
    row = decode_outcome(item[2] or b"")

    assert (row.status, row.reason, row.defect) == ("failed", "defect", "KeyError at services.x:1")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("ce_correlationid", b"c"), ("ce_id", b"e")], "c"),
        ([("ce_correlationid", b"undefined"), ("ce_id", b"e")], "e"),
        ([("ce_correlationid", None), ("ce_id", b"\xff")], "t/0/7"),
        ([], "t/0/7"),
    ],
)
def test_the_story_is_followed_by_correlation_id_else_event_id_else_place(headers, expected):
    ((item,),) = recorded([Done(Status.NORMALIZED)], record(7, headers=headers)).calls

    assert decode_outcome(item[2] or b"").correlation_id == expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [(Facts(patient_key="p", document_id="d"), b"p"), (Facts(document_id="d"), b"d"), (Facts(), b"t/0/7")],
)
def test_an_outcome_is_keyed_by_patient_else_document_else_place(facts, expected):
    ((item,),) = recorded([Done(Status.NORMALIZED, facts)]).calls

    assert item[1] == expected


def test_a_replay_gives_rows_of_its_own_and_keeps_the_first_receipt():
    source = record(7, headers=[("ce_replayid", b"r1"), ("ce_origin", b"document.received.v1/3/9")])
    ((item,),) = recorded([Done(Status.NORMALIZED)], source).calls
    row = decode_outcome(item[2] or b"")

    assert row.id == outcome_id("t", 0, 7, "normalizer", 0, "r1")
    assert (row.replay_id, row.origin) == ("r1", "document.received.v1/3/9")


def test_the_envelope_is_a_cloud_event():
    facts = Facts(action=Action.NORMALIZE, patient_key="p", document_id="d", provider_id="north", clinic_id="c")
    ((item,),) = recorded([Done(Status.NORMALIZED, facts)]).calls
    seen = read_headers(item[3])

    assert {
        "specversion": "1.0",
        "type": "org.healthrecords.outcome.recorded.v1",
        "source": "urn:healthrecords:normalizer",
        "id": outcome_id("t", 0, 7, "normalizer"),
        "time": NOW,
        "subject": "p",
        "contenttype": "application/json",
        "providerid": "north",
        "documentid": "d",
        "clinicid": "c",
        "correlationid": "t/0/7",
    } == seen


def test_a_record_without_key_and_value_can_be_refused():
    (item,), _ = recorded([Rejected(Reason.EMPTY_CONTENT)], record(7, None, value=None)).calls

    assert item[1] == b"t/0/7"
    assert json.loads(item[2] or b"")["size"] == 0


def test_codes_of_the_diet_lens_travel_with_the_outcome():
    (items,) = recorded([Done(Status.NORMALIZED, Facts(nutrition=("potassium:out_of_range",)))]).calls

    assert decode_outcome(items[0][2] or b"").nutrition == ("potassium:out_of_range",)
