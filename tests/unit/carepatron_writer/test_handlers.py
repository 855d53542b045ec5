"""Records in, outcomes out: twice the same, in any order, and with a crash after every step."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from services.carepatron_writer.core import Decision, Link, Offer
from services.carepatron_writer.handlers import write_documents
from services.carepatron_writer.links import Claim
from services.carepatron_writer.platforms.port import OutcomeUnknown, Priority
from services.carepatron_writer.writing import priority_of
from shared.canonical.elements import Attachment, HumanName
from shared.content_store import reference_to
from shared.delivery.records import Record
from shared.errors import Unavailable
from shared.identity import digest
from shared.outcomes import Action, Outcome, Reason, Rejected, Status
from shared.testing import MemoryContentStore
from tests.contract.writing_fakes import (
    NEWER,
    OLDER,
    VERSION,
    MemoryLedger,
    MemoryPlatform,
    PlainRenderer,
    a_document,
    a_key,
    a_patient,
    document_record,
    patient_record,
)


class House:
    """A writer over fakes; `deliver` is the lane: again after an outage."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger()
        self.platform = MemoryPlatform()
        self.content = MemoryContentStore()
        self._handler = write_documents(self.ledger, {"carepatron": self.platform}, self.content, PlainRenderer())

    async def handle(self, record: Record) -> Outcome:
        (outcome,) = await self._handler(record)
        return outcome

    async def deliver(self, *records: Record) -> list[Outcome]:
        outcomes = []
        for record in records:
            for _ in range(10):
                try:
                    outcomes.append(await self.handle(record))
                    break
                except Unavailable:
                    continue
            else:
                raise AssertionError("never done")
        return outcomes


def _statuses(outcomes: Sequence[Outcome]) -> list[str]:
    return [one.status.value for one in outcomes]


def _reasons(outcomes: Sequence[Outcome]) -> list[Reason | None]:
    return [one.reason if isinstance(one, Rejected) else None for one in outcomes]


KEY = a_key()
PATIENT = patient_record(a_patient(KEY), offset=0)
DOCUMENT = a_document(KEY)
FIRST = document_record(DOCUMENT, offset=1)


def test_a_patient_then_a_document() -> None:
    house = House()
    patient, document = asyncio.run(house.deliver(PATIENT, FIRST))

    assert _statuses([patient, document]) == ["created", "created"]
    assert (patient.facts.action, document.facts.action) == (Action.UPSERT_PATIENT, Action.WRITE_DOCUMENT)
    assert (KEY, str(DOCUMENT.id), "lab_report", VERSION, "carepatron", "carepatron") == (
        document.facts.patient_key,
        document.facts.document_id,
        document.facts.document_type,
        document.facts.source_version,
        document.facts.destination_id,
        document.facts.platform,
    )
    assert f"doc-{DOCUMENT.id}" == document.facts.external_id


def test_everything_sent_again_changes_nothing_and_says_so_without_a_call() -> None:
    house = House()
    again = [PATIENT._replace(offset=10), FIRST._replace(offset=11)]

    async def run() -> tuple[list[Outcome], int]:
        await house.deliver(PATIENT, FIRST)
        calls = len(house.platform.calls)
        return await house.deliver(*again * 4), len(house.platform.calls) - calls

    outcomes, calls = asyncio.run(run())

    assert _statuses(outcomes) == ["unchanged"] * 8
    assert calls == 0
    assert len(house.platform.effects) == 2


def test_the_same_records_redelivered_say_the_same() -> None:
    house = House()
    newer = document_record(a_document(KEY, str(DOCUMENT.id), text="newer"), offset=2, version=NEWER)

    async def run() -> tuple[list[Outcome], list[Outcome]]:
        return await house.deliver(PATIENT, FIRST, newer), await house.deliver(PATIENT, newer)

    first, again = asyncio.run(run())

    assert _statuses(first) == ["created", "created", "updated"]
    assert _statuses(again) == ["created", "updated"]


@pytest.mark.parametrize("order", list(itertools.permutations([OLDER, VERSION, NEWER])), ids=str)
def test_versions_in_any_order_end_with_the_newest(order: tuple[str, ...]) -> None:
    house = House()
    records = [
        document_record(a_document(KEY, str(DOCUMENT.id), text=version), offset=number, version=version)
        for number, version in enumerate(order, 1)
    ]
    outcomes = asyncio.run(house.deliver(PATIENT, *records, *records))
    (client,) = house.platform.clients.values()

    assert client.documents[str(DOCUMENT.id)][-1].version.startswith(NEWER)
    assert {"created", "updated", "superseded", "unchanged"} >= set(_statuses(outcomes))
    assert _statuses(outcomes[: len(order) + 1]).count("created") - 1 == 1


@pytest.mark.parametrize("method", ["read", "claim", "settle"])
@pytest.mark.parametrize("record", [PATIENT, FIRST], ids=["patient", "document"])
def test_a_crash_after_any_step_leaves_one_effect_and_the_right_status(method: str, record: Record) -> None:
    house = House()

    async def run() -> list[Outcome]:
        if record is FIRST:
            await house.deliver(PATIENT)
        house.ledger.fail_next = [method]
        return await house.deliver(record)

    outcomes = asyncio.run(run())

    assert _statuses(outcomes) == ["created"]
    assert len(set(house.platform.effects)) == len(house.platform.effects)


@pytest.mark.parametrize("fault", ["down", "unknown", "lost"])
def test_an_outage_in_a_call_leaves_one_effect_and_the_right_status(fault: str) -> None:
    house = House()

    async def run() -> list[Outcome]:
        house.platform.faults = [fault]
        patient = await house.deliver(PATIENT)
        house.platform.faults = [fault]
        return patient + await house.deliver(FIRST)

    outcomes = asyncio.run(run())

    assert _statuses(outcomes) == ["created", "created"]
    assert len(house.platform.effects) == 2


def test_an_unknown_outcome_is_read_back_before_a_second_write() -> None:
    house = House()

    async def run() -> None:
        await house.deliver(PATIENT)
        house.platform.calls.clear()
        house.platform.faults = ["lost"]
        await house.deliver(FIRST)

    asyncio.run(run())

    assert house.platform.calls == ["put_document", "find_document", "read_back"]


def test_a_request_that_was_surely_not_sent_needs_no_reading_back() -> None:
    house = House()

    async def run() -> None:
        await house.deliver(PATIENT)
        house.platform.calls.clear()
        house.platform.faults = ["down"]
        await house.deliver(FIRST)

    asyncio.run(run())

    assert house.platform.calls == ["put_document", "put_document"]


def test_while_reading_back_fails_nothing_is_written() -> None:
    house = House()

    async def run() -> None:
        await house.deliver(PATIENT)
        house.platform.calls.clear()
        house.platform.faults = ["lost", "down", "down"]
        await house.deliver(FIRST)

    asyncio.run(run())

    assert house.platform.calls == ["put_document", "find_document", "find_document", "find_document", "read_back"]


def test_a_writer_that_was_overtaken_changes_nothing() -> None:
    house = House()
    newer = document_record(a_document(KEY, str(DOCUMENT.id), text="newer"), offset=2, version=NEWER)

    async def run() -> list[Outcome]:
        await house.deliver(PATIENT)
        real = house.ledger.claim
        overtaking: list[Outcome] = []

        async def overtaken(claim: Claim) -> bool:
            house.ledger.claim = real  # type: ignore[method-assign]
            overtaking.extend(await house.deliver(newer))
            return await real(claim)

        house.ledger.claim = overtaken  # type: ignore[method-assign]
        late = await house.deliver(FIRST)
        return overtaking + late

    outcomes = asyncio.run(run())

    assert _statuses(outcomes) == ["created", "superseded"]
    assert NEWER in house.platform.effects[-1][1]


def test_the_same_version_with_other_content_is_flagged_not_written() -> None:
    house = House()
    other = document_record(a_document(KEY, str(DOCUMENT.id), text="other"), offset=2)
    outcomes = asyncio.run(house.deliver(PATIENT, FIRST, other))

    assert _reasons(outcomes) == [None, None, Reason.VERSION_CONFLICT]
    assert len(house.platform.effects) == 2


def test_withdrawing() -> None:
    house = House()
    withdrawal = document_record(DOCUMENT, offset=2, version=NEWER, action="withdraw", data=b"")
    unknown = document_record(a_document(KEY), offset=3, action="withdraw")
    outcomes = asyncio.run(
        house.deliver(PATIENT, FIRST, withdrawal, FIRST._replace(offset=9), withdrawal, withdrawal._replace(offset=10), unknown)
    )

    assert _statuses(outcomes) == ["created", "created", "withdrawn", "superseded", "withdrawn", "unchanged", "unchanged"]
    assert Action.WITHDRAW_DOCUMENT is outcomes[2].facts.action


def test_a_lost_answer_to_a_withdrawal_is_still_withdrawn() -> None:
    house = House()

    async def run() -> list[Outcome]:
        await house.deliver(PATIENT, FIRST)
        house.platform.faults = ["lost"]
        return await house.deliver(document_record(DOCUMENT, offset=2, version=NEWER, action="withdraw"))

    assert _statuses(asyncio.run(run())) == ["withdrawn"]


def test_a_refused_patient_refuses_its_documents_for_the_same_reason() -> None:
    house = House()
    alike = a_key()
    name = HumanName(family="Marker", given=["Test"])
    records = [
        patient_record(a_patient(KEY, name=name), offset=0),
        patient_record(a_patient(alike, name=name), offset=1),
        document_record(a_document(alike), offset=2),
    ]
    outcomes = asyncio.run(house.deliver(*records))

    assert _reasons(outcomes) == [None, Reason.POSSIBLE_DUPLICATE, Reason.POSSIBLE_DUPLICATE]


def test_a_document_whose_patient_is_not_in_the_ledger_finds_the_client_by_our_reference() -> None:
    house = House()

    async def run() -> list[Outcome]:
        await house.deliver(PATIENT)
        house.ledger.rows.clear()
        return await house.deliver(FIRST, document_record(a_document(a_key()), offset=5))

    outcomes = asyncio.run(run())

    assert _reasons(outcomes) == [None, Reason.CONTACT_MISSING]


def test_a_client_that_the_platform_lost_is_made_again_by_the_next_snapshot() -> None:
    house = House()

    async def run() -> list[Outcome]:
        await house.deliver(PATIENT)
        house.platform.clients.clear()
        return await house.deliver(FIRST, PATIENT._replace(offset=5), FIRST._replace(offset=6))

    outcomes = asyncio.run(run())

    assert _statuses(outcomes) == ["rejected", "created", "created"]


def test_a_refusal_redelivered_is_the_same_refusal_and_a_released_record_is_tried_afresh() -> None:
    house = House()

    async def run() -> list[Outcome]:
        await house.deliver(PATIENT)
        (client,) = house.platform.clients
        house.platform.set_status(client, "archived")
        refused = await house.deliver(FIRST)
        house.platform.set_status(client, "active")
        return refused + await house.deliver(FIRST, FIRST._replace(offset=9))

    outcomes = asyncio.run(run())

    assert _reasons(outcomes) == [Reason.CONTACT_ARCHIVED, Reason.CONTACT_ARCHIVED, None]
    assert Status.CREATED is outcomes[2].status


def test_older_snapshots_and_equal_facts_make_no_call() -> None:
    house = House()
    snapshots = [
        patient_record(a_patient(KEY), offset=1, revision=2),
        patient_record(a_patient(KEY), offset=2, revision=5),
        patient_record(a_patient(KEY, birth_date="1971-01-01"), offset=3, revision=4),
    ]
    outcomes = asyncio.run(house.deliver(*snapshots))

    assert _statuses(outcomes) == ["created", "unchanged", "superseded"]
    assert house.platform.calls == ["upsert_patient"]


def test_the_only_file_is_uploaded_with_its_own_bytes() -> None:
    house = House()
    data = b"%PDF-1.7"
    document = a_document(KEY, text=None, attachments=[Attachment("application/pdf", len(data), digest(data))])

    async def run() -> list[Outcome]:
        await house.content.put(data)
        return await house.deliver(PATIENT, document_record(document, offset=1))

    asyncio.run(run())
    (client,) = house.platform.clients.values()

    assert data == client.documents[str(document.id)][0].content


def test_large_events_are_fetched() -> None:
    house = House()
    record = document_record(DOCUMENT, offset=1)

    async def run() -> list[Outcome]:
        ref = await house.content.put(record.value or b"")
        return await house.deliver(PATIENT, document_record(DOCUMENT, offset=1, data=b"", contentref=ref))

    assert _statuses(asyncio.run(run())) == ["created", "created"]


@pytest.mark.parametrize(
    ("record", "reason", "where"),
    [
        (document_record(DOCUMENT, offset=1, data=b"{"), Reason.MALFORMED_ENVELOPE, "$"),
        (document_record(DOCUMENT, offset=1, data=b'{"id":"PEANUT"}'), Reason.MALFORMED_ENVELOPE, "id"),
        (document_record(DOCUMENT, offset=1, subject="Ann Lee"), Reason.MALFORMED_ENVELOPE, "ce_subject"),
        (document_record(DOCUMENT, offset=1, documentid=a_key()), Reason.MALFORMED_ENVELOPE, "ce_documentid"),
        (document_record(DOCUMENT, offset=1, documentid=None), Reason.MALFORMED_ENVELOPE, "ce_documentid"),
        (document_record(DOCUMENT, offset=1, sourceversion=None), Reason.MALFORMED_ENVELOPE, "ce_sourceversion"),
        (document_record(DOCUMENT, offset=1, destinationid=None), Reason.MALFORMED_ENVELOPE, "ce_destinationid"),
        (document_record(DOCUMENT, offset=1, destination_id="unknown"), Reason.PLATFORM_FORBIDDEN, "ce_destinationid"),
        (document_record(DOCUMENT, offset=1, type="other"), Reason.MALFORMED_ENVELOPE, "ce_type"),
        (document_record(DOCUMENT, offset=1, contentref=reference_to("0" * 64)), Reason.CONTENT_MISSING, "ce_contentref"),
        (patient_record(a_patient(KEY), offset=1, subject=a_key()), Reason.MALFORMED_ENVELOPE, "ce_subject"),
        (patient_record(a_patient(KEY, name=None), offset=1), Reason.PATIENT_UNIDENTIFIED, "name"),
        (
            document_record(a_document(KEY, attachments=[Attachment("application/pdf", 4, "0" * 64)]), offset=1),
            Reason.CONTENT_MISSING,
            "content.attachments[0]",
        ),
        (Record("document.normalized.v1", 0, 1, None, None, (), 0), Reason.MALFORMED_ENVELOPE, "ce_subject"),
        (
            Record("document.normalized.v1", 0, 1, b"\xff", b"\xff", (("ce_type", None), ("ce_type", b"\xff")), 0),
            Reason.MALFORMED_ENVELOPE,
            "ce_subject",
        ),
    ],
)
def test_a_broken_record_is_refused_with_its_place_and_without_a_call(record: Record, reason: Reason, where: str) -> None:
    house = House()
    (outcome,) = asyncio.run(house.deliver(record))

    assert isinstance(outcome, Rejected)
    assert (reason, where) == (outcome.reason, outcome.where)
    assert house.platform.calls == []


def test_no_ledger_no_call() -> None:
    house = House()
    house.ledger.fail_next = ["read"]

    with pytest.raises(Unavailable):
        asyncio.run(house.handle(PATIENT))
    assert house.platform.calls == []


def test_an_unknown_outcome_reaches_the_lane_as_an_outage() -> None:
    house = House()
    house.platform.faults = ["lost"]

    with pytest.raises(OutcomeUnknown):
        asyncio.run(house.handle(PATIENT))


def test_what_is_read_back_otherwise_after_an_unknown_outcome_is_said() -> None:
    house = House()
    document_id = str(DOCUMENT.id)

    async def run() -> list[Outcome]:
        await house.deliver(PATIENT)
        house.platform.faults = ["lost"]
        house.platform.spoilt[document_id] = b"something else"
        return await house.deliver(FIRST)

    assert _reasons(asyncio.run(run())) == [Reason.READ_BACK_DIFFERS]


def test_a_file_of_which_nothing_can_be_made_is_refused() -> None:
    house = House()
    data = b"\x00\x01"
    document = a_document(KEY, text=None, attachments=[Attachment("application/octet-stream", len(data), digest(data))])

    async def run() -> list[Outcome]:
        await house.content.put(data)
        return await house.deliver(PATIENT, document_record(document, offset=1))

    assert _reasons(asyncio.run(run())) == [None, Reason.UNSUPPORTED_MEDIA_TYPE]


def test_a_share_of_all_writes_is_read_back() -> None:
    house = House()
    handler = write_documents(house.ledger, {"carepatron": house.platform}, house.content, PlainRenderer(), read_back_share=1.0)

    async def run() -> None:
        for record in (PATIENT, FIRST, FIRST):
            await handler(record)

    asyncio.run(run())

    assert house.platform.calls == ["upsert_patient", "put_document", "read_back"]


def test_a_question_is_put_to_a_person_and_the_answer_is_kept_to() -> None:
    house = House()
    alike = a_patient(a_key(), name=HumanName(family=f"Marker-{KEY[:8]}", given=["Test"]))
    other = patient_record(alike, offset=5)
    waiting = document_record(a_document(str(alike.id)), offset=6)
    place = ("carepatron", str(alike.id))

    async def run() -> list[Outcome]:
        await house.deliver(PATIENT)
        first = await house.deliver(other, waiting)
        question = house.ledger.questions[place]
        house.ledger.decisions[place] = Decision("leave")
        left = await house.deliver(other._replace(offset=7), waiting._replace(offset=8))
        house.ledger.decisions[place] = Decision("moving")
        with pytest.raises(Unavailable):
            await house.handle(other._replace(offset=9))
        house.ledger.decisions[place] = Decision("create")
        made = await house.deliver(other._replace(offset=10), waiting._replace(offset=11))
        assert [(one.agrees, one.differs) for one in question] == [(("name", "birth_date"), ())]
        return [*first, *left, *made]

    outcomes = asyncio.run(run())

    assert _statuses(outcomes) == ["rejected", "rejected", "skipped", "skipped", "created", "created"]
    assert len(house.platform.clients) == 2


def test_a_patient_is_linked_to_the_client_that_a_person_chose() -> None:
    house = House()
    alike = a_patient(a_key(), name=HumanName(family=f"Marker-{KEY[:8]}", given=["Test"]))

    async def run() -> list[Outcome]:
        await house.deliver(PATIENT)
        (chosen,) = house.platform.clients
        await house.deliver(patient_record(alike, offset=5))
        house.ledger.decisions["carepatron", str(alike.id)] = Decision("link", chosen)
        return await house.deliver(patient_record(alike, offset=6), document_record(a_document(str(alike.id)), offset=7))

    outcomes = asyncio.run(run())

    assert _statuses(outcomes) == ["updated", "created"]
    assert len(house.platform.clients) == 1


@pytest.mark.parametrize(
    ("link", "offer", "priority"),
    [
        (None, {}, Priority.LIVE),
        ("doc-1", {}, Priority.LIVE_CORRECTION),
        (None, {"is_replayed": True}, Priority.REPLAYED),
        ("doc-1", {"is_replayed": True}, Priority.REPLAYED_CORRECTION),
        ("client", {"kind": "patient"}, Priority.LIVE),
    ],
)
def test_who_goes_first(link: str | None, offer: dict[str, Any], priority: Priority) -> None:
    known = Link("applied", "v1", "digest", "t/0/1", 3, link) if link else None
    given = {
        "destination_id": "carepatron",
        "kind": "document",
        "our_id": "d",
        "patient_key": "p",
        "version": "v2",
        "digest": "x",
        "place": "t/0/7",
    }

    assert priority is priority_of(Offer(**{**given, **offer}), known)


def test_what_never_came_to_the_platform_needs_no_taking_back() -> None:
    house = House()
    withdrawn = document_record(DOCUMENT, offset=3, version=NEWER, action="withdraw")

    async def run() -> list[Outcome]:
        before = await house.deliver(withdrawn)
        return before + await house.deliver(PATIENT, FIRST)

    assert _statuses(asyncio.run(run())) == ["unchanged", "created", "superseded"]


def test_where_a_platform_cannot_take_back_a_person_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    withdrawn = document_record(DOCUMENT, offset=3, version=NEWER, action="withdraw")

    async def run() -> list[Outcome]:
        await house.deliver(PATIENT, FIRST)
        unable = replace(house.platform.capabilities(), withdraw=False)
        monkeypatch.setattr(house.platform, "capabilities", lambda: unable)
        return await house.deliver(withdrawn)

    assert _reasons(asyncio.run(run())) == [Reason.WITHDRAWAL_BY_HAND]


def test_a_platform_without_document_write_asks_for_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    unable = replace(house.platform.capabilities(), write_documents=False)
    monkeypatch.setattr(house.platform, "capabilities", lambda: unable)

    outcomes = asyncio.run(house.deliver(PATIENT, FIRST))

    assert _reasons(outcomes) == [None, Reason.HANDOVER_NEEDED]
