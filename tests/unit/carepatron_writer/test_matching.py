"""Who is who on the platform, and what of a client is changed."""

from dataclasses import replace
from typing import Any

import pytest

from services.carepatron_writer.platforms.carepatron.contacts import changed_contact, new_contact
from services.carepatron_writer.platforms.matching import choose, likeness, reference
from tests.contract.writing_fakes import a_card

CARD = a_card("key", first_name="Ann", last_name="Léé", email="ann@example.org", birth_date="1970-10-03")


def _client(**said: Any) -> dict[str, Any]:
    return {"id": "x", "firstName": "ann", "lastName": "lee", "email": None, "dateOfBirth": None, "externalReferences": [], **said}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"email": "ANN@example.org"}, "same"),
        ({"email": "ann@example.org", "dateOfBirth": "1970-10-03"}, "same"),
        ({"email": "ann@example.org", "dateOfBirth": "1999-01-01"}, "maybe"),
        ({"dateOfBirth": "1970-10-03"}, "maybe"),
        ({}, "maybe"),
        ({"email": "other@example.org"}, "maybe"),
        ({"dateOfBirth": "1999-01-01"}, "other"),
        ({"firstName": "Bob", "email": "ann@example.org"}, "other"),
        ({"firstName": "Bob", "email": "ann@example.org", "dateOfBirth": "1970-10-03"}, "maybe"),
        ({"firstName": "Bob", "dateOfBirth": "1970-10-03"}, "other"),
    ],
)
def test_how_alike_two_people_are(said: dict[str, Any], expected: str) -> None:
    assert expected == likeness(CARD, _client(**said))


@pytest.mark.parametrize(
    ("clients", "expected"),
    [
        ([], None),
        ([_client(firstName="Bob")], None),
        ([_client(email="ann@example.org")], "x"),
        ([_client()], [("x", ("name",), ())]),
        ([_client(email="other@example.org", dateOfBirth="1970-10-03")], [("x", ("name", "birth_date"), ("email",))]),
        (
            [_client(email="ann@example.org", id="1"), _client(email="ann@example.org", id="2")],
            [(one, ("name", "email"), ()) for one in "12"],
        ),
        ([_client(firstName="Bob", externalReferences=[reference("key")]), _client()], "x"),
        (
            [_client(id="1", externalReferences=[reference("key")]), _client(id="2", externalReferences=[reference("key")])],
            [(one, ("name",), ()) for one in "12"],
        ),
        ([_client(status="merged", id="1", externalReferences=[reference("key")])], "1"),
        (
            [
                _client(status="merged", id="1", externalReferences=[reference("key")]),
                _client(id="2", externalReferences=[reference("key")]),
            ],
            "2",
        ),
        ([_client(status="merged")], None),
    ],
)
def test_exactly_one_full_match_is_linked(clients: list[dict[str, Any]], expected: str | list[Any] | None) -> None:
    found = choose(CARD, clients)

    shown = [(one.external_id, one.agrees, one.differs) for one in found] if isinstance(found, tuple) else found
    assert expected == shown


def test_a_person_may_say_that_it_is_none_of_those_alike() -> None:
    assert choose(CARD, [_client()], is_new=True) is None
    assert choose(CARD, [_client(externalReferences=[reference("key")])], is_new=True) == "x"


def test_an_email_that_was_never_set_is_known_again_by_its_mark() -> None:
    made = {**new_contact(CARD, may_email=False), "id": "1"}

    assert made["email"] is None
    assert likeness(a_card("other", first_name="Ann", last_name="Lee", email="Ann@Example.org"), made) == "same"
    assert likeness(a_card("other", first_name="Ann", last_name="Lee", email="x@example.org"), made) == "maybe"


def test_our_facts_replace_ours_and_nobody_elses() -> None:
    stored = {**new_contact(CARD), "medicalHistory": [{"text": "the clinic's own"}, {"text": "another record's", "recordKey": "a"}]}
    body, _ = changed_contact(a_card("key", first_name="Anna", medical_history=({"text": "new"},)), stored, may_email=False)

    assert body["firstName"] == "Anna"
    assert [one["text"] for one in body["medicalHistory"]] == ["the clinic's own", "another record's", "new"]


def test_changes_of_each_record_are_its_own() -> None:
    stored = {
        **new_contact(CARD),
        "nutritionChanges": [{"text": "old", "recordKey": "key"}, {"text": "another record's", "recordKey": "a"}],
    }

    body, _ = changed_contact(replace(CARD, nutrition_changes=({"text": "new"},)), stored, may_email=False)

    assert [one["text"] for one in body["nutritionChanges"]] == ["another record's", "new"]


def test_a_client_of_the_clinic_only_gets_blanks_filled() -> None:
    stored = {"firstName": "Ann", "lastName": "Lee", "phoneNumber": "their own", "dateOfBirth": None, "tags": ["vip"]}
    body, _ = changed_contact(a_card("key", phone="ours"), stored, may_email=False)

    assert (body["firstName"], body["phoneNumber"], body["dateOfBirth"], body["tags"]) == ("Ann", "their own", "1970-10-03", ["vip"])
    assert [reference("key")] == body["externalReferences"]


def test_no_change_makes_the_platform_write_to_the_patient() -> None:
    body, warnings = changed_contact(a_card("key", email="new@example.org"), new_contact(CARD), may_email=False)

    assert body["email"] == "ann@example.org"
    assert warnings == ("email_not_changed",)


def test_two_records_of_one_person_end_alike_in_any_order() -> None:
    first, second = a_card("a", dietary_preferences=({"text": "1"},)), a_card("b", dietary_preferences=({"text": "2"},))

    def end(*cards: Any) -> Any:
        body = {**new_contact(CARD), "externalReferences": []}
        for one in cards:
            body, _ = changed_contact(one, body, may_email=False)
        return body["dietaryPreferences"]

    assert end(first, second, first) == end(second, first, second)


def test_two_records_of_one_person_make_the_same_client_whichever_comes_first() -> None:
    home = a_card("1", first_name="Ann", last_name="Lee", phone="111", birth_date=None)
    hospital = a_card("2", first_name="Anna", last_name="Lee", phone="222", birth_date="1970-10-03")

    def client(first: Any, second: Any) -> dict[str, Any]:
        made = new_contact(first)
        for card in (second, first):
            made, _ = changed_contact(card, made, may_email=False)
        return {**made, "externalReferences": sorted(one["value"] for one in made["externalReferences"])}

    assert client(home, hospital) == client(hospital, home)
    assert client(home, hospital)["phoneNumber"] == "111"
