"""The HL7 v2 reader: what the golden cases leave open, and what it must never do."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.ingest.core import take_in
from services.normalizer.offline import as_json, normalize_bytes
from services.normalizer.readers.hl7v2 import read_hl7v2
from services.normalizer.readers.hl7v2_times import read_time
from shared.canonical.reading import ProviderProfile, Reading
from shared.identity import PatientIdentifier, patient_key

PROVIDER = ProviderProfile("clinic-a", time_zone="Europe/Zurich", organization="Invented Clinic")
INPUTS = [path.read_bytes() for path in sorted((Path(__file__).parents[2] / "golden" / "hl7v2").glob("*/input.hl7"))]
MSH = "MSH|^~\\&|LAB|NORTH|HR|HR|20261102081500||{}|G1|P|2.5.1"
PID = "PID|1||4711^^^NORTH^MR||Sundqvist^Alma||19720504|F"
OBR = "OBR|1|P1|F1^NORTH|57698-3^Lipid panel^LN|||20261102080000||||||||||||||||||LAB|F"
PIECES = [
    b"|",
    b"^",
    b"~",
    b"&",
    b"\\",
    b"\r",
    b"\n",
    b'""',
    b"\x0b",
    b"\x1c",
    b"\xff",
    b"\x00",
    b"MSH|",
    b"PID|1||2^^^N",
    b"OBX|1|ED|",
    b"OBR|",
]


def read(*lines: str, event: str = "ORU^R01") -> Reading:
    """The reading of a message."""
    return read_hl7v2("\r".join((MSH.format(event), *lines)).encode(), PROVIDER)


def key(number: str) -> str:
    """The key of a patient of that number."""
    return patient_key("clinic-a", PatientIdentifier("NORTH", number, "MR"))


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A golden message with something cut out, put in, doubled or exchanged."""
    content = bytearray(draw(st.sampled_from(INPUTS)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(content)))
        end = min(len(content), at + draw(st.integers(0, 30)))
        piece = draw(st.sampled_from([*PIECES, bytes(content[at:end]) * 2]) | st.binary(max_size=6))
        content[at : draw(st.sampled_from([at, end]))] = piece
    return bytes(content)


@given(st.binary(max_size=400) | st.binary(max_size=300).map(lambda one: MSH.format("ORU^R01").encode() + b"\r" + one))
def test_no_bytes_make_the_reader_raise(content: bytes) -> None:
    as_json(read_hl7v2(content, PROVIDER))


@settings(max_examples=300)
@given(spoiled())
@example(b"MSH|^~\\&|||||||ORU^R01|1\rOBR|1\rOBX|1|NM|||1")
def test_spoiled_messages_end_in_readings_that_agree_with_the_light_look(content: bytes) -> None:
    readings = normalize_bytes(content, PROVIDER)
    taken = take_in(content, provider=PROVIDER, media_type=None, patient_key=None, max_parts=1000)

    assert all(one.outcome == "normalized" or one.reason for one in readings)
    for part, reading in zip(taken if isinstance(taken, list) else [], readings, strict=False):
        as_json(reading)
        if reading.outcome == "normalized" and reading.patients and part.patient_key:
            assert part.patient_key == reading.patients[0].patient_key
        if reading.outcome == "normalized" and reading.documents and part.document_id:
            assert part.document_id in {one.document_id for one in reading.documents}


@given(st.from_regex(r"[+-]?[0-9]{1,12}(\.[0-9]{1,12})?", fullmatch=True), st.sampled_from(["NM", "SN"]))
def test_numbers_keep_their_digits(written: str, kind: str) -> None:
    value = f"^{written}" if kind == "SN" else written

    result = read(PID, OBR, f"OBX|1|{kind}|718-7^Hemoglobin^LN||{value}|g/dL|||||F").documents[0].content.results[0]
    assert (result.value.kind, result.value.number) == ("quantity", written)


@given(
    st.text(st.characters(codec="ascii", categories=["L", "N", "P", "Zs"]), min_size=1).filter(lambda one: not set(one) & set('|^~\\&"'))
)
def test_a_number_is_never_invented(text: str) -> None:
    for result in read(PID, OBR, f"OBX|1|NM|X^Test^L||{text}||||||F").documents[0].content.results:
        assert result.value.number is None or result.value.number in text


@pytest.mark.parametrize("event", ["A18", "A34", "A40", "A47"])
def test_a_merge_names_who_survives_and_who_is_given_up(event: str) -> None:
    reading = read(PID, "MRG|4712^^^NORTH^MR", event=f"ADT^{event}")

    assert (reading.merges, reading.patients) == ([(key("4711"), key("4712"))], [])


def test_each_merge_belongs_to_the_patient_before_it() -> None:
    reading = read(PID, "MRG|4712^^^NORTH^MR", "PID|2||4811^^^NORTH^MR", "MRG|4812^^^NORTH^MR", event="ADT^A40")

    assert reading.merges == [(key("4711"), key("4712")), (key("4811"), key("4812"))]


def test_a_merge_without_anybody_is_refused() -> None:
    reading = read("PID|1", "MRG|4712^^^NORTH^MR", event="ADT^A40")

    assert (reading.outcome, reading.where) == ("rejected", "MRG")


def test_a_time_without_a_zone_takes_the_providers_and_says_so_once() -> None:
    reading = read(PID, OBR, "OBX|1|NM|718-7^Hemoglobin^LN||13.2|g/dL|||||F")

    assert [one.code for one in reading.warnings] == ["time_without_zone"]
    assert reading.documents[0].source_version == "oru:00000000000000000000:20261102T071500.000000Z:07"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1970", "1970"),
        ("197010", "1970-10"),
        ("19701005", "1970-10-05"),
        ("1970100508", "1970-10-05T08:00"),
        ("197010050815", "1970-10-05T08:15"),
        ("19701005081530.1234-0500", "1970-10-05T08:15:30.1234-05:00"),
        ("20260704080000-0000", "2026-07-04T08:00:00"),
        ("1970-10-05T08:15:30Z", "1970-10-05T08:15:30Z"),
        ("0000", None),
        ("DOB", None),
        ("19701305", None),
        ("1970100525", None),
    ],
)
def test_times_keep_their_precision_and_zone(written: str, expected: str | None) -> None:
    assert read_time(written) == expected


@given(st.permutations(["F1", "F2", "F3", "F4"]), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=3))
def test_which_groups_make_a_report_does_not_depend_on_their_order(order: list[str], ties: list[tuple[int, int]]) -> None:
    names = ["F1", "F2", "F3", "F4"]
    lines: dict[str, list[str]] = {one: [f"OBR|1||{one}^NORTH|X^Test^L{'|' * 21}F", "OBX|1|NM|X^Test^L||1||||||F"] for one in names}

    def reports(sequence: list[str]) -> set[frozenset[str]]:
        written = [line for one in sequence for line in (f"ORC|RE|||{placer(one)}", *lines[one])]
        documents = read(PID, *written).documents
        return {frozenset(number.value for number in one.identifiers if number.kind == "filler") for one in documents}

    def placer(name: str) -> str:
        tied = {names.index(name)}
        for _ in ties:
            tied |= {other for pair in ties if set(pair) & tied for other in pair}
        return f"G{min(tied)}^NORTH"

    assert reports(order) == reports(names)
