"""The FHIR reader: what the golden cases leave open, and what it must never do."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.core import take_in
from services.normalizer.offline import as_json, normalize_bytes
from services.normalizer.readers.fhir import read_fhir
from shared.canonical.reading import ProviderProfile, Reading

PROVIDER = ProviderProfile("clinic-a", time_zone="Europe/Zurich", organization="Invented Clinic")
INPUTS = [path.read_bytes() for path in sorted((Path(__file__).parents[2] / "golden" / "fhir").glob("*/input.json"))]
SUBJECT = {"reference": "Patient/p1"}


def trees() -> list[Any]:
    """The golden inputs that are JSON."""
    found = []
    for content in INPUTS:
        try:
            found.append(msgspec.json.decode(content))
        except msgspec.DecodeError:
            continue
    return found


TREES = trees()
ODD: list[Any] = [
    None,
    [],
    {},
    "",
    "x",
    0,
    -1,
    True,
    [None],
    [[]],
    {"reference": "#"},
    {"coding": "x"},
    "2026-13-45",
    "\x00",
    [{"value": {}}],
]


def read(resource: dict[str, Any]) -> Reading:
    """The reading of a resource."""
    return read_fhir(json.dumps(resource).encode(), PROVIDER)


def observation(**more: Any) -> dict[str, Any]:
    """An Observation about p1."""
    return {"resourceType": "Observation", "id": "o1", "status": "final", "code": {"text": "Test"}, "subject": SUBJECT, **more}


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A golden resource in which some values are exchanged for others that stand elsewhere, or that are no such thing."""
    tree = json.loads(json.dumps(draw(st.sampled_from(TREES))))
    for _ in range(draw(st.integers(1, 4))):
        holders: list[Any] = []
        waiting = [tree]
        while waiting:
            one = waiting.pop()
            if isinstance(one, (dict, list)) and one:
                holders.append(one)
                waiting += one.values() if isinstance(one, dict) else one
        if not holders:
            break
        holder = draw(st.sampled_from(holders))
        place = draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
        value = draw(st.sampled_from([*ODD, *holders]))
        holder[place] = json.loads(json.dumps(value))
    return json.dumps(tree).encode()


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda one: b'{"resourceType": "Patient", "name": ' + one))
def test_no_bytes_make_the_reader_raise(content: bytes) -> None:
    as_json(read_fhir(content, PROVIDER))


@settings(max_examples=300, deadline=None)
@given(spoiled())
def test_spoiled_resources_end_in_readings_that_agree_with_the_light_look(content: bytes) -> None:
    readings = normalize_bytes(content, PROVIDER)
    taken = take_in(content, provider=PROVIDER, media_type=None, patient_key=None, max_parts=1000)

    assert all(one.outcome == "normalized" or one.reason for one in readings)
    for part, reading in zip(taken if isinstance(taken, list) else [], readings, strict=False):
        as_json(reading)
        if reading.outcome == "normalized" and reading.patients and part.patient_key:
            assert part.patient_key == reading.patients[0].patient_key
        if reading.outcome == "normalized" and reading.documents and part.document_id:
            assert part.document_id == reading.documents[0].document_id


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,15})\.[0-9]{1,15}|[1-9][0-9]{0,15}", fullmatch=True))
def test_numbers_keep_their_digits(written: str) -> None:
    content = json.dumps(observation())[:-1] + ', "valueQuantity": {"value": ' + written + ', "unit": "g"}}'

    value = read_fhir(content.encode(), PROVIDER).documents[0].content.results[0].value
    assert (value.kind, value.number, value.unit) == ("quantity", written, "g")


@pytest.mark.parametrize(
    ("more", "status", "kind"),
    [
        ({"valueString": "clear"}, "final", "text"),
        ({"status": "cancelled"}, "cancelled", "none"),
        ({"dataAbsentReason": {"text": "not done"}}, "final", "none"),
        ({"valueQuantity": {"unit": "g"}}, "final", "text"),
        ({"valueRange": {"low": {"value": 1}}}, "final", "range"),
        ({"valueBoolean": True}, "final", "text"),
    ],
)
def test_a_value_is_what_was_said(more: dict[str, Any], status: str, kind: str) -> None:
    result = read(observation(**more)).documents[0].content.results[0]

    assert (result.status, result.value.kind) == (status, kind)


def test_each_number_of_a_ratio_has_its_own_unit() -> None:
    ratio = {"numerator": {"value": 5, "unit": "mg"}, "denominator": {"value": 10, "unit": "mL"}}

    assert read(observation(valueRatio=ratio)).documents[0].content.text == "Test: 5 mg/10 mL"


def test_a_stay_without_a_diet_carries_nothing() -> None:
    reading = read({"resourceType": "Encounter", "id": "e1", "subject": SUBJECT})

    assert (reading.outcome, reading.reason) == ("skipped", "no_clinical_content")


def test_a_code_without_a_name_is_no_title() -> None:
    reading = read({"resourceType": "DocumentReference", "id": "d1", "subject": SUBJECT, "type": {"coding": [{"code": "34111-5"}]}})

    assert reading.documents[0].title == "Emergency department note"


def test_a_loop_of_members_ends() -> None:
    loop = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": observation(hasMember=[{"reference": "Observation/o1"}])}],
    }

    assert read(loop).outcome == "normalized"


def exposure(risk: str) -> dict[str, Any]:
    """An allergy that says in an extension whether a substance is a risk."""
    parts = [
        {"url": "substance", "valueCodeableConcept": {"text": "Peanut"}},
        {"url": "exposureRisk", "valueCodeableConcept": {"coding": [{"code": risk}]}},
    ]
    url = "http://hl7.org/fhir/StructureDefinition/allergyintolerance-substanceExposureRisk"
    return {
        "resourceType": "AllergyIntolerance",
        "id": "a1",
        "patient": SUBJECT,
        "category": ["food"],
        "extension": [{"url": url, "extension": parts}],
    }


@pytest.mark.parametrize(("risk", "negated"), [("known-reaction-risk", False), ("no-known-reaction-risk", True)])
def test_a_substance_without_risk_is_no_allergy(risk: str, negated: bool) -> None:
    (patient,) = read(exposure(risk)).patients

    assert [(one.text, one.negated) for one in patient.dietary_preferences] == [("Peanut", negated)]


@pytest.mark.parametrize("code", ["716186003", "429625007", "1003774007", "716220001", "428197003"])
def test_no_known_allergy_is_denied_whatever_its_name(code: str) -> None:
    concept = {"coding": [{"system": "http://snomed.info/sct", "code": code, "display": "in another language"}]}

    (patient,) = read({"resourceType": "AllergyIntolerance", "id": "a1", "patient": SUBJECT, "code": concept}).patients

    assert [one.negated for one in patient.medical_history] == [True]


def test_an_earlier_status_for_everything_is_read() -> None:
    allergy = {"resourceType": "AllergyIntolerance", "id": "a1", "patient": SUBJECT, "status": "refuted", "substance": {"text": "Egg"}}

    (patient,) = read(allergy).patients

    assert [(one.status, one.negated) for one in patient.medical_history] == [("refuted", True)]


def test_answers_about_the_way_of_living_stand_in_the_text() -> None:
    social = observation(
        category=[{"coding": [{"code": "social-history"}]}],
        component=[
            {"code": {"text": "Packs"}, "valueInteger": 2},
            {"code": {"text": "Since"}, "valueString": "2010"},
            {"code": {"text": "Until"}},
        ],
    )

    (patient,) = read(social).patients

    assert [one.text for one in patient.medical_history] == ["Test: Packs: 2; Since: 2010"]


def test_what_a_document_refers_to_many_times_is_told_once() -> None:
    order = {
        "resourceType": "NutritionOrder",
        "id": "n1",
        "patient": SUBJECT,
        "excludeFoodModifier": [{"text": f"f{one}"} for one in range(100)],
    }
    section = {"title": "Diet", "entry": [{"reference": "NutritionOrder/n1"}] * 100}
    composition = {"resourceType": "Composition", "id": "k1", "subject": SUBJECT, "section": [section] * 100}

    reading = read({"resourceType": "Bundle", "type": "document", "entry": [{"resource": composition}, {"resource": order}]})

    assert len(reading.documents[0].content.text or "") < 2_000
