"""The decisions of the writer."""

import random
from dataclasses import replace
from typing import Any

import pytest

from services.carepatron_writer.core import (
    Link,
    Offer,
    Refusal,
    Verdict,
    card_of,
    decide,
    digest_of_card,
    digest_of_document,
    repaired,
    settle,
)
from services.carepatron_writer.platforms.port import Answer, Conflict, Created, Parked, Rejected, Stale, Unchanged, Updated
from shared.canonical.elements import (
    Attachment,
    Coding,
    ContactDetails,
    DietaryPreference,
    HistoryEntry,
    HumanName,
    NutritionChange,
    Telecom,
)
from shared.outcomes import Reason, Status
from tests.contract.writing_fakes import a_document, a_key, a_patient

DOCUMENT = Offer("carepatron", "document", "d", "p", "v2", "digest", "t/0/7")
PATIENT = replace(DOCUMENT, kind="patient", our_id="p")
WITHDRAWAL = replace(DOCUMENT, is_withdrawal=True)
APPLIED = Link("applied", "v2", "digest", "t/0/1", 3, "x", Status.CREATED)


@pytest.mark.parametrize(
    ("link", "offer", "verdict"),
    [
        (None, DOCUMENT, Verdict.SEND),
        (APPLIED, DOCUMENT, Verdict.UNCHANGED),
        (APPLIED, replace(DOCUMENT, version="v1"), Verdict.SUPERSEDED),
        (APPLIED, replace(DOCUMENT, version="v3"), Verdict.SEND),
        (APPLIED, replace(DOCUMENT, digest="other"), Verdict.CONFLICT),
        (APPLIED, replace(DOCUMENT, place=APPLIED.place), Verdict.REPEATED),
        (APPLIED, WITHDRAWAL, Verdict.SEND),
        (replace(APPLIED, state="sending", status=None), DOCUMENT, Verdict.READ_FIRST),
        (replace(APPLIED, state="sending", status=None), replace(DOCUMENT, place=APPLIED.place), Verdict.READ_FIRST),
        (replace(APPLIED, state="sending", status=None), replace(DOCUMENT, version="v1"), Verdict.SUPERSEDED),
        (replace(APPLIED, state="sending", status=None), replace(DOCUMENT, version="v3"), Verdict.READ_FIRST),
        (replace(APPLIED, state="waiting", status=None), DOCUMENT, Verdict.SEND),
        (replace(APPLIED, state="waiting", status=None), replace(DOCUMENT, version="v1"), Verdict.SUPERSEDED),
        (replace(APPLIED, state="refused", status=Status.REJECTED), DOCUMENT, Verdict.SEND),
        (replace(APPLIED, state="refused", status=Status.REJECTED, place=DOCUMENT.place), DOCUMENT, Verdict.REPEATED),
        (replace(APPLIED, state="superseded", status=Status.SUPERSEDED), DOCUMENT, Verdict.SUPERSEDED),
        (replace(APPLIED, state="superseded", status=Status.SUPERSEDED), replace(DOCUMENT, version="v3"), Verdict.SEND),
        (replace(APPLIED, state="withdrawn", status=Status.WITHDRAWN), DOCUMENT, Verdict.SUPERSEDED),
        (replace(APPLIED, state="withdrawn", status=Status.WITHDRAWN), WITHDRAWAL, Verdict.UNCHANGED),
        (replace(APPLIED, state="withdrawn", status=Status.WITHDRAWN), replace(DOCUMENT, version="v3"), Verdict.SEND),
        (APPLIED, PATIENT, Verdict.UNCHANGED),
        (APPLIED, replace(PATIENT, version="v3"), Verdict.ADVANCE),
        (APPLIED, replace(PATIENT, version="v3", digest="other"), Verdict.SEND),
        (APPLIED, replace(PATIENT, digest="other"), Verdict.SEND),
        (APPLIED, replace(PATIENT, version="v1", digest="other"), Verdict.SUPERSEDED),
    ],
)
def test_what_a_link_means_for_an_offer(link: Link | None, offer: Offer, verdict: Verdict) -> None:
    assert verdict is decide(link, offer)


@pytest.mark.parametrize(
    ("answer", "offer", "state", "status", "reason"),
    [
        (Created("x"), DOCUMENT, "applied", Status.CREATED, None),
        (Updated("x"), DOCUMENT, "applied", Status.UPDATED, None),
        (Unchanged("x"), DOCUMENT, "applied", Status.UNCHANGED, None),
        (Updated("x"), WITHDRAWAL, "withdrawn", Status.WITHDRAWN, None),
        (Unchanged(), WITHDRAWAL, "withdrawn", Status.UNCHANGED, None),
        (Stale(), DOCUMENT, "superseded", Status.SUPERSEDED, None),
        (Conflict(), DOCUMENT, "refused", Status.REJECTED, Reason.VERSION_CONFLICT),
        (Parked(Reason.PLATFORM_QUOTA), DOCUMENT, "refused", Status.REJECTED, Reason.PLATFORM_QUOTA),
        (Rejected(Reason.CONTACT_MERGED, "x"), DOCUMENT, "refused", Status.REJECTED, Reason.CONTACT_MERGED),
    ],
)
def test_what_an_answer_makes_of_a_claim(answer: Answer, offer: Offer, state: str, status: Status, reason: Reason | None) -> None:
    settlement = settle(answer, offer, None)

    assert (state, status) == (settlement.state, settlement.status)
    assert reason == (settlement.refusal.reason if settlement.refusal else None)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"external_id": None}, Status.CREATED),
        ({"external_id": "x"}, Status.UPDATED),
        ({"place": "t/0/1"}, Status.UNCHANGED),
        ({"digest": "other"}, Status.UNCHANGED),
    ],
)
def test_the_effect_of_a_try_without_an_answer_counts_for_its_own_record(changes: dict[str, Any], status: Status) -> None:
    earlier = replace(Link("sending", "v2", "digest", DOCUMENT.place, 3), **changes)

    assert status is settle(Unchanged("x"), DOCUMENT, earlier).status


def test_a_refusal_keeps_its_place() -> None:
    assert Refusal(Reason.PLATFORM_REJECTED, "/title") == settle(Rejected(Reason.PLATFORM_REJECTED, "/title"), DOCUMENT, None).refusal


def test_equal_patients_make_equal_cards_in_any_order() -> None:
    diet = [DietaryPreference("allergy", Coding("s", str(number), "x"), reactions=["hives"], negated=number == 2) for number in range(4)]
    history = [HistoryEntry("condition", text=f"c{number}", onset="2019-05") for number in range(4)]
    key = a_key()
    cards = set()
    for seed in range(5):
        order = random.Random(seed).sample(range(4), 4)
        patient = a_patient(key, dietary_preferences=[diet[one] for one in order], medical_history=[history[one] for one in order])
        card = card_of(patient)
        assert card is not None
        cards.add(digest_of_card(card))

    assert len(cards) == 1


def test_a_card_keeps_denials_and_invents_no_dates() -> None:
    patient = a_patient(
        a_key(),
        name=HumanName(family="Marker\x00", given=["Test", "Ann"]),
        birth_date="1970-10",
        contact_details=ContactDetails(phones=[Telecom("+1 555 0100")], emails=["nobody", "marker@example.org"]),
        dietary_preferences=[DietaryPreference("allergy", text="Peanut", negated=True)],
    )
    card = card_of(patient)

    assert card is not None
    assert (card.first_name, card.last_name, card.birth_date) == ("Test Ann", "Marker", None)
    assert (card.email, card.phone) == ("marker@example.org", "+1 555 0100")
    assert card.dietary_preferences == ({"kind": "allergy", "text": "Peanut", "negated": True},)


@pytest.mark.parametrize(
    ("change", "reason", "said", "text"),
    [
        ("out_of_range", "above", "5.9 mmol/L", "Potassium is above its range: 5.9 mmol/L"),
        ("back_in_range", "within", "4.4\x00 mmol/L", "Potassium is back in its range: 4.4 mmol/L"),
        ("ended", "resolved", None, "Potassium has ended"),
        ("doubled", "of_late", None, "Potassium doubled of late"),  # from a newer normalizer
    ],
)
def test_a_card_says_what_changed_in_words_with_its_place(change: str, reason: str, said: str | None, text: str) -> None:
    changed = NutritionChange("potassium", change, reason, "Potassium", "It matters.", said, None, "d1", "results[0]")

    card = card_of(a_patient(a_key(), nutrition_changes=[changed]))

    assert card is not None
    assert card.nutrition_changes == (
        {
            "rule": "potassium",
            "change": change,
            "reason": reason,
            "text": text,
            "why": "It matters.",
            "sourceDocumentId": "d1",
            "path": "results[0]",
        },
    )


@pytest.mark.parametrize("name", [None, HumanName(), HumanName(text="\x01")])
def test_without_a_name_there_is_no_card(name: HumanName | None) -> None:
    assert card_of(a_patient(a_key(), name=name)) is None


def test_facts_words_and_files_count_for_the_digest_and_the_version_does_not() -> None:
    file = Attachment(media_type="application/pdf", sha256="a" * 64)
    document = a_document(a_key(), attachments=[file])
    changed = [
        document.model_copy(update={"title": "Other"}),
        document.model_copy(update={"content": replace(document.content, text="Other words.")}),
        document.model_copy(update={"content": replace(document.content, attachments=[replace(file, sha256="b" * 64)])}),
    ]

    assert digest_of_document(document) == digest_of_document(document.model_copy(update={"source_version": "v9"}))
    assert len({digest_of_document(one) for one in (document, *changed)}) == 4


def test_a_repaired_version_lies_between_its_own_and_the_next() -> None:
    assert sorted(["v8.01", repaired("v7.02", 2), "v7.03", repaired("v7.02", 1), repaired("v7.02", 0)]) == [
        "v7.02",
        "v7.02.r0001",
        "v7.02.r0002",
        "v7.03",
        "v8.01",
    ]
