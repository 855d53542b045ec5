"""FHIR JSON as bytes: digits as written, places of mistakes, splitting by patient, and the light look."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.canonical.reading import ProviderProfile
from shared.formats.fhir import is_fhir, light_identity, split_resources
from shared.formats.fhir_json import NotJson, decode
from shared.formats.fhir_tree import tail, text_of

PROVIDER = ProviderProfile("clinic-a", time_zone="Europe/Zurich")
NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,20}([eE][+-]?[0-9]{1,3})?|[1-9][0-9]{0,17}|0", fullmatch=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["resourceType", "entry", "resource", "id", "subject"]), inner)
    ),
    max_leaves=20,
)


def patient(number: str) -> dict[str, Any]:
    """A Patient."""
    return {"resourceType": "Patient", "id": number, "identifier": [{"system": "urn:oid:2.999.5", "value": f"N-{number}"}]}


def bundle(*resources: dict[str, Any], type: str = "collection") -> bytes:
    """A Bundle of these."""
    return json.dumps({"resourceType": "Bundle", "type": type, "entry": [{"resource": one} for one in resources]}).encode()


@given(NUMBERS)
def test_numbers_keep_their_digits(written: str) -> None:
    assert text_of(decode(b'{"value": ' + written.encode() + b"}")["value"]) == written


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b'{"a": }', "byte 6"),
        (b'  {"a": }', "byte 8"),
        (b'{"a": 1,}', "byte 8"),
        (b'{"a": 1} {"b": 2}', "byte 10"),  # what follows a value counts from behind its first character
        (b'{"a": 1} // x', "byte 10"),
        (b"[" * 5000, "depth"),
    ],
)
def test_broken_json_names_the_place(content: bytes, where: str) -> None:
    with pytest.raises(NotJson) as caught:
        decode(content)

    assert caught.value.where == where


def test_a_bundle_of_two_patients_is_split_and_a_document_is_not() -> None:
    people = [patient("1"), patient("2")]
    facts = [{"resourceType": "Condition", "id": f"c{n}", "subject": {"reference": f"Patient/{n}"}} for n in (2, 1, 2)]

    parts = [json.loads(part) for part in split_resources(bundle(*people, *facts))]

    assert [[one["resource"]["id"] for one in part["entry"]] for part in parts] == [["1", "c1"], ["2", "c2", "c2"]]
    assert len(split_resources(bundle(*people, *facts, type="document"))) == 1


def test_lines_are_parts_and_a_broken_line_is_one_too() -> None:
    content = b'{"resourceType": "Patient"}\n\n{"resourceType": \n{"resourceType": "Patient"}\n'

    assert [one.strip() for one in split_resources(content)] == [
        b'{"resourceType": "Patient"}',
        b'{"resourceType":',
        b'{"resourceType": "Patient"}',
    ]


@given(VALUES)
def test_no_value_makes_looking_raise(value: Any) -> None:
    content = json.dumps(value).encode()
    light_identity(content, PROVIDER)
    is_fhir(content)

    assert all(isinstance(one, bytes) for one in split_resources(content))


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda one: b'{"resourceType": "Bundle", "entry": [' + one))
def test_no_bytes_make_looking_raise(content: bytes) -> None:
    light_identity(content, PROVIDER)
    assert all(isinstance(one, bytes) for one in split_resources(content))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Patient/1", "Patient/1"),
        ("https://fhir.example.org/base/Patient/1/_history/3", "Patient/1"),
        ("urn:uuid:00000000-0000-4000-8000-000000000000", "urn:uuid:00000000-0000-4000-8000-000000000000"),
        ("#pat", "#pat"),
    ],
)
def test_references_are_known_by_type_and_id(written: str, expected: str) -> None:
    assert expected == tail(written)


def test_a_number_that_is_no_number_is_no_json() -> None:
    with pytest.raises(NotJson):
        decode(json.dumps({"value": math.nan}).encode())


TOLD = st.lists(st.sampled_from(['"', "\\", "\\u0022", "\\u005c", "\\u003a", ":", "a", "b", "{", ","]), max_size=4).map(
    lambda parts: "".join({'"': '\\"', "\\": "\\\\"}.get(one, one) for one in parts)
)
WRITTEN = st.recursive(
    TOLD.map(lambda text: f'"{text}"'),
    lambda inner: st.lists(st.tuples(TOLD, inner), max_size=3).map(
        lambda some: "{" + ", ".join(f'"{name}":{one}' for name, one in some) + "}"
    ),
    max_leaves=8,
)


@given(WRITTEN)
def test_a_name_said_twice_is_refused_and_nothing_else(written: str) -> None:
    repeated = False

    def note(pairs: list[tuple[str, Any]]) -> None:
        nonlocal repeated
        repeated |= len(pairs) != len(dict(pairs))

    json.loads(written, object_pairs_hook=note)

    if repeated:
        with pytest.raises(NotJson):
            decode(written.encode())
    else:
        decode(written.encode())


LEFT, RIGHT = (json.dumps(patient(number), indent=2).encode() for number in "12")


@pytest.mark.parametrize(
    "content",
    [LEFT + RIGHT, LEFT + b"\r\n\xef\xbb\xbf" + RIGHT + b"\n", b"[" + LEFT + b"," + RIGHT + b"]"],
    ids=["one after another", "with a mark between", "as a list"],
)
def test_resources_that_stand_together_are_parts(content: bytes) -> None:
    parts = split_resources(content)

    assert is_fhir(content)
    assert [decode(one)["id"] for one in parts] == ["1", "2"]


@pytest.mark.parametrize("content", [LEFT + b"}" + RIGHT, LEFT + b"[]", b"[" + LEFT + b", 1]"])
def test_what_stands_with_anything_else_stays_whole(content: bytes) -> None:
    assert [content] == split_resources(content)
