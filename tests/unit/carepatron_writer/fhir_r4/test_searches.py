"""How somebody is looked for, with what a server knows."""

import pytest

from services.carepatron_writer.platforms.fhir_r4.patients import searches_for
from tests.contract.writing_fakes import a_card


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (("name", "family", "given", "email"), [[("name", "Lee"), ("name", "Ann")], [("email", "a@b.c")]]),
        (("family", "given", "telecom"), [[("family", "Lee"), ("given", "Ann")], [("telecom", "a@b.c")]]),
        ((), [[("name", "Lee"), ("name", "Ann")]]),
    ],
)
def test_what_a_server_knows_is_asked(known: tuple[str, ...], expected: list[list[tuple[str, str]]]) -> None:
    assert searches_for(a_card(first_name="Ann Mary", last_name="Lee", email="a@b.c"), known) == expected


@pytest.mark.parametrize(("first", "last"), [("Ann", ""), ("", "Ann")])
def test_one_name_is_enough(first: str, last: str) -> None:
    assert searches_for(a_card(first_name=first, last_name=last), ("name",)) == [[("name", "Ann")]]
