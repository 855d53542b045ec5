"""What is checked before anything is sent."""

from typing import Any

import pytest

from services.carepatron_writer.platforms.fhir_r4.people import new_patient
from services.carepatron_writer.platforms.fhir_r4.resources import Making, document_reference
from services.carepatron_writer.platforms.fhir_r4.validation import NEEDED, fault_in
from tests.contract.writing_fakes import a_card, an_upload

DOCUMENT = document_reference(an_upload(), Making("77", "2026-11-23T20:58:00Z"))
ATTACHMENT = DOCUMENT["content"][0]["attachment"]


@pytest.mark.parametrize("name", NEEDED)
def test_the_minimum_is_asked_for(name: str) -> None:
    assert fault_in(DOCUMENT) is None
    assert fault_in({key: value for key, value in DOCUMENT.items() if key != name}) == f"DocumentReference.{name}"


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ({"status": "final"}, "status"),
        ({"colour": "red"}, "colour"),
        ({"description": ""}, "description"),
        ({"description": "\x07"}, "description"),
        ({"description": None}, "description"),
        ({"category": []}, "category"),
        ({"type": {"coding": [{"code": " "}]}}, "type.coding[0].code"),
        ({"id": "not an id"}, "id"),
        ({"subject": {"display": "Ann"}}, "subject"),
        ({"date": "2026-11-23"}, "date"),
        ({"content": [{"attachment": {"data": "YWJj"}}]}, "content[0].attachment.contentType"),
        ({"content": [{"attachment": {**ATTACHMENT, "url": "Binary/1"}}]}, "content[0].attachment.url"),
        ({"content": [{"attachment": {"contentType": "text/plain", "size": 5}}]}, "content[0].attachment.data"),
    ],
)
def test_what_no_server_must_get(said: dict[str, Any], where: str) -> None:
    assert fault_in({**DOCUMENT, **said}) == f"DocumentReference.{where}"


def test_a_withdrawal_needs_less() -> None:
    names = ("resourceType", "status", "subject", "identifier", "content")
    body = {**{name: DOCUMENT[name] for name in names}, "id": "9", "status": "entered-in-error"}

    assert fault_in({**body, "content": [{"attachment": {"contentType": "text/plain", "size": 5}}]}) is None
    assert fault_in({name: value for name, value in body.items() if name != "identifier"}) == "DocumentReference.identifier"


@pytest.mark.parametrize(
    ("said", "where"),
    [({"identifier": []}, "Patient.identifier"), ({"birthDate": "3.10.1970"}, "Patient.birthDate"), ({"status": "x"}, "Patient.status")],
)
def test_patients_are_checked_too(said: dict[str, Any], where: str) -> None:
    assert fault_in(new_patient(a_card())) is None
    assert fault_in({**new_patient(a_card()), **said}) == where


def test_other_resources_are_not_ours_to_send() -> None:
    assert fault_in({"resourceType": "Observation"}) == "resourceType"
