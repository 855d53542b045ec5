"""Patients as FHIR: what we make, what we may change, how somebody compares with a card."""

from dataclasses import replace
from typing import Any

import pytest
from fhir.resources.R4B.patient import Patient

from services.carepatron_writer.platforms.fhir_r4.people import changed_patient, client_view, detached_patient, new_patient, replaced_by
from services.carepatron_writer.platforms.fhir_r4.sandbox.rules import first_fault
from services.carepatron_writer.platforms.fhir_r4.validation import fault_in
from tests.contract.writing_fakes import a_card

FACT = {
    "kind": "allergy",
    "text": "Peanut <all>",
    "code": {"system": "http://snomed.info/sct", "code": "91935009", "display": "Peanut"},
    "reactions": ["Rash", "Hives"],
    "negated": True,
}
CARD = a_card("b", first_name="Ann Mary", last_name="Lee", email="ann@example.org", phone="111", dietary_preferences=(FACT,))


def _stored(card: Any = CARD, **said: Any) -> dict[str, Any]:
    return {**new_patient(card), "id": "1", "meta": {"versionId": "1", "lastUpdated": "2026-11-23T00:00:00Z"}, **said}


def test_a_new_patient_is_fhir_and_says_every_fact() -> None:
    body = new_patient(CARD)
    fact = body["extension"][1]["extension"][1]

    assert (fault_in(body), first_fault(body, "Patient")) == (None, None)
    assert Patient.model_validate(body).birthDate is not None
    assert body["name"] == [{"family": "Lee", "given": ["Ann", "Mary"]}]
    assert fact["url"] == "dietaryPreference"
    assert [(one["url"], next(value for name, value in one.items() if name != "url")) for one in fact["extension"]] == [
        ("kind", "allergy"), ("text", "Peanut <all>"), ("code", FACT["code"]), ("reactions", "Rash"), ("reactions", "Hives"), ("negated", True),
    ]  # fmt: skip
    assert "allergy: Peanut &lt;all&gt;" in body["text"]["div"]


@pytest.mark.parametrize(
    "card", [a_card("b", last_name=""), a_card("b", birth_date=None, dietary_preferences=()), a_card("b", first_name="")]
)
def test_a_sparse_patient_is_fhir_too(card: Any) -> None:
    assert first_fault(new_patient(card), "Patient") is None
    assert "birthDate" in new_patient(card) or card.birth_date is None


def test_nothing_changes_where_nothing_differs() -> None:
    assert changed_patient(CARD, _stored()) is None
    assert changed_patient(CARD, _stored(text={"status": "generated", "div": "rendered again by the server"})) is None


def test_what_the_server_and_the_clinic_added_stays() -> None:
    stored = _stored(
        gender="female",
        meta={"versionId": "1", "source": "#x", "tag": [{"code": "theirs"}]},
        extension=[{"url": "urn:theirs", "valueCode": "x"}, *_stored()["extension"]],
    )
    body = changed_patient(replace(CARD, phone="222"), stored)

    assert body is not None
    assert (body["gender"], body["meta"]) == ("female", {"tag": [{"code": "theirs"}]})
    assert body["extension"] == stored["extension"]
    assert body["telecom"][0] == {"system": "phone", "value": "222"}


def test_a_narrative_of_the_clinics_own_stays() -> None:
    theirs = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">theirs</div>'}

    assert changed_patient(replace(CARD, phone="222"), _stored(text=theirs))["text"] == theirs  # type: ignore[index]
    assert "Peanut" in changed_patient(replace(CARD, phone="222"), _stored())["text"]["div"]  # type: ignore[index]


def test_only_the_first_record_replaces_and_others_fill_blanks() -> None:
    other = a_card("c", first_name="Anna", last_name="Lee", phone="999", birth_date="1999-01-01", dietary_preferences=())
    first = a_card("a", first_name="Anna", last_name="Lee", phone="999", birth_date="1999-01-01", dietary_preferences=())
    by_other, by_first = changed_patient(other, _stored()), changed_patient(first, _stored())

    assert by_other is not None
    assert (by_other["name"], by_other["birthDate"], by_other["telecom"]) == (_stored()["name"], "1970-10-03", _stored()["telecom"])
    assert by_first is not None
    assert (by_first["name"][0]["given"], by_first["birthDate"], by_first["telecom"][0]["value"]) == (["Anna"], "1999-01-01", "999")


def test_two_records_of_one_person_end_alike_in_any_order() -> None:
    one, two = (
        a_card("1", phone="111", birth_date=None),
        a_card("2", phone="222", dietary_preferences=({"kind": "diet", "text": "Low salt"},)),
    )

    def end(first: Any, second: Any) -> dict[str, Any]:
        body: dict[str, Any] = {**new_patient(first), "id": "1"}
        for card in (second, first):
            body = changed_patient(card, body) or body
        return {**body, "identifier": sorted(one["value"] for one in body["identifier"])}

    assert end(one, two) == end(two, one)
    assert end(one, two)["telecom"] == [{"system": "phone", "value": "111"}]


def test_facts_that_a_record_does_not_say_any_more_are_gone() -> None:
    body = changed_patient(replace(CARD, dietary_preferences=()), _stored())

    assert body is not None
    assert [one["url"] for one in body["extension"]] == ["urn:healthrecords:created"]
    assert "text" not in body


def test_detaching_leaves_the_person() -> None:
    body = detached_patient("b", _stored())

    assert body is not None
    assert "identifier" not in body
    assert (body["name"], body["telecom"]) == (_stored()["name"], _stored()["telecom"])
    assert detached_patient("b", {**body, "id": "1"}) is None


@pytest.mark.parametrize(
    ("said", "name", "expected"),
    [
        ({"name": [{"text": "Ann Mary Lee"}]}, "lastName", "Ann Mary Lee"),
        ({"name": [{"family": "Before"}, {"family": "LEE", "given": ["Ann", "Mary"]}]}, "lastName", "LEE"),
        ({"name": []}, "lastName", ""),
        ({"telecom": [{"system": "email", "value": "x@y"}, {"system": "email", "value": "ANN@example.org"}]}, "email", "ANN@example.org"),
        ({"telecom": [{"system": "email"}]}, "email", None),
        ({"birthDate": "1970"}, "dateOfBirth", None),
        ({"birthDate": "1971"}, "dateOfBirth", "1971"),
        ({"active": False}, "status", "archived"),
        ({"link": [{"type": "replaced-by", "other": {"reference": "Patient/2"}}]}, "status", "merged"),
        ({"link": [{"type": "seealso", "other": {"reference": "Patient/2"}}]}, "status", "active"),
    ],
)
def test_how_somebody_is_compared(said: dict[str, Any], name: str, expected: Any) -> None:
    assert client_view(CARD, _stored(**said))[name] == expected


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ([], (False, None)),
        ([{"type": "refer", "other": {"reference": "Patient/2"}}], (False, None)),
        ([{"type": "replaced-by", "other": {"reference": "https://x/fhir/Patient/2"}}], (True, "2")),
        ([{"type": "replaced-by", "other": {"reference": "RelatedPerson/2"}}], (True, None)),
        ([{"type": "replaced-by", "other": {"display": "somebody"}}], (True, None)),
    ],
)
def test_who_replaced_somebody(link: Any, expected: Any) -> None:
    assert replaced_by({"link": link}) == expected
