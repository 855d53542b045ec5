"""An independent parser (`hl7`) reads the same messages and finds the same patients, reports and results."""

import re
from collections.abc import Iterator
from typing import Any

import hl7
import pytest

from services.normalizer.readers.hl7v2 import read_hl7v2
from shared.canonical.elements import Result
from shared.canonical.reading import ProviderProfile, Reading
from shared.formats.hl7v2_text import decode, split_messages
from tests.integration.samples.test_samples import samples
from tests.oracles.generated import messages

PROVIDER = ProviderProfile("oracle", time_zone="Europe/Zurich")
GENERATED = 3000
NUMBERS = ("NM", "SI")
OTHER_ESCAPES = re.compile(r"\\(?:\.|[CMXZP])")  # formatting, charsets, hexadecimal: the other parser leaves them or fails


def first(value: str, message: Any, *, component: int = 0) -> str:
    """A component of the first repetition, as the other parser sees it."""
    separators = message.separators  # \r | ~ ^ &
    repetition = next((one for one in value.split(separators[2]) if one and one != '""'), "")
    parts = repetition.split(separators[3])
    text = parts[component] if component < len(parts) else ""
    text = text.split(separators[4])[0]
    return "" if text == '""' else str(message.unescape(text)).strip()


def field(segment: Any, number: int) -> str:
    """A field as written; empty when it is not there."""
    return str(segment[number]) if number < len(segment) else ""


def segments(message: Any, name: str) -> list[Any]:
    """The segments of a name, none when there is none."""
    return [one for one in message if str(one[0]) == name]


def compare(message: Any, reading: Reading) -> Iterator[str]:
    """The places at which both disagree."""
    pid = segments(message, "PID")[0]
    patient = reading.patients[0]
    values = [first(one, message) for one in field(pid, 3).split(message.separators[2]) if first(one, message)]
    if values and [one.value for one in patient.identifiers[: len(values)]] != values:
        yield "PID-3"
    if patient.name and patient.name.family != (first(field(pid, 5), message) or None):
        yield "PID-5.1"
    born = first(field(pid, 7), message)
    if patient.birth_date and patient.birth_date.replace("-", "") != born[: len(patient.birth_date.replace("-", ""))]:
        yield "PID-7"
    written = [one for one in segments(message, "OBX") if first(field(one, 2), message).upper() not in ("ED", "RP")]
    results = [one for document in reading.documents for one in document.content.results]
    is_note = bool(segments(message, "TXA"))  # its text lines are text, no results
    if len({document.document_id for document in reading.documents}) == 1 and not is_note:
        yield from _compare_results(message, written, results)
    orders = {first(field(one, 3), message) for one in segments(message, "OBR") if first(field(one, 3), message)}
    numbers = {one.value for document in reading.documents for one in document.identifiers if one.kind == "filler"}
    if reading.documents and orders != numbers:
        yield "OBR-3"


def _compare_results(message: Any, written: list[Any], results: list[Result]) -> Iterator[str]:
    expected = []
    for one in written:
        repetitions = [part for part in field(one, 5).split(message.separators[2]) if part and part != '""'] or [""]
        expected += [(one, part) for part in repetitions]
    if len(expected) != len(results):
        yield f"OBX: {len(expected)} and {len(results)}"
        return
    for (one, part), result in zip(expected, results, strict=True):
        where = f"OBX-{field(one, 1)}"
        code = first(field(one, 3), message) or first(field(one, 3), message, component=3)
        if (result.code.code or (result.code.translations and result.code.translations[0].code) or "" if result.code else "") != code:
            yield f"{where}-3"
        kind = first(field(one, 2), message).upper()
        if (
            kind in NUMBERS
            and result.value.kind == "quantity"
            and f"{result.value.comparator or ''}{result.value.number}" != part.replace(" ", "")
        ):
            yield f"{where}-5"
        if (
            kind in ("ST", "TX")
            and not OTHER_ESCAPES.search(part)
            and result.value.text is not None
            and result.value.text.strip() != str(message.unescape(part)).strip()
        ):
            yield f"{where}-5"
        if (
            kind in ("CWE", "CE")
            and result.value.code is not None
            and (result.value.code.code or "") != (first(part, message) or (result.value.code.code or ""))
        ):
            yield f"{where}-5.1"
        if (result.reference_range or "") != first(field(one, 7), message):
            yield f"{where}-7"


def test_generated_messages_are_read_alike() -> None:
    otherwise = []
    for number, text in enumerate(messages(GENERATED, seed=20261123)):
        reading = read_hl7v2(text.encode(), PROVIDER)
        assert reading.outcome == "normalized", text
        otherwise += [f"{number}: {place}" for place in compare(hl7.parse(text), reading)]

    assert otherwise == []


# what the other parser cannot do: escapes without a backslash in MSH-2, text in other charsets, segments in small letters
NOT_COMPARED = {
    "realm-animal-rabies.hl7": "MSH-2 without the escape character",
    "realm-batch.hl7": "MSH-2 without the escape character",
    "realm-hepatitis-c-virus.hl7": "MSH-2 without the escape character",
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning:hl7")
def test_samples_are_read_alike() -> None:
    otherwise: list[str] = []
    compared = 0
    for path in samples():
        if path.parent.parent.name != "hl7v2" or path.name in NOT_COMPARED:
            continue
        for number, content in enumerate(split_messages(path.read_bytes())):
            reading = read_hl7v2(content, PROVIDER)
            if reading.outcome != "normalized" or not reading.patients:
                continue
            text, _ = decode(content)
            try:
                message = hl7.parse("\r".join(text.splitlines()) + "\r")
            except (hl7.HL7Exception, IndexError, KeyError):
                continue  # more than the other parser takes
            if not segments(message, "PID"):
                continue  # in small letters
            compared += 1
            otherwise += [f"{path.name}[{number}]: {place}" for place in compare(message, reading)]

    if compared < 30:
        pytest.fail(f"only {compared} messages were compared")
    assert otherwise == []
