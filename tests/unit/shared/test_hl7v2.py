"""HL7 v2 as bytes and fields: separators, splitting, escapes, and the light look."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.canonical.reading import ProviderProfile
from shared.formats.hl7v2 import Message, Segment, parse
from shared.formats.hl7v2_escapes import unescape
from shared.formats.hl7v2_identity import light_identity
from shared.formats.hl7v2_separators import Separators
from shared.formats.hl7v2_text import decode, split_messages
from shared.formats.wide import narrow

PROVIDER = ProviderProfile("clinic-a", time_zone="Europe/Zurich")
USUAL = Separators("|")
OWN = Separators("@", "~", "*", "!", "#")
MSH = "MSH|^~\\&|LAB|NORTH|HR|HR|20261102081500||ADT^A08|G1|P|2.5.1"


def message(*lines: str) -> Message:
    """A message that can be parsed."""
    made = parse("\r".join(lines).encode())
    assert isinstance(made, Message)
    return made


def escape(text: str, separators: Separators) -> str:
    """What a careful sender writes."""
    codes = {
        separators.field: "F",
        separators.component: "S",
        separators.subcomponent: "T",
        separators.repetition: "R",
        separators.escape: "E",
    }
    return "".join(f"{separators.escape}{codes[one]}{separators.escape}" if one in codes else one for one in text)


@pytest.mark.parametrize("separators", [USUAL, OWN])
@given(text=st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("|^&~\\@*!#")))
def test_what_is_escaped_comes_back(separators: Separators, text: str) -> None:
    assert unescape(escape(text, separators), separators) == text


@given(st.text(st.sampled_from("\\.brspinceFSTREHNXZMC0d 9+^&|")))
def test_unescaping_never_raises_and_invents_no_separator_pairs(text: str) -> None:
    assert len(unescape(text, USUAL)) <= 10 * len(text) + 1


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("a\\.br\\b", "a\nb"),
        ("a\\.sp3\\b", "a\n\n\nb"),
        ("a\\.sk+2\\b", "a  b"),
        ("\\.in+4\\text", "text"),
        ("\\X0d0a\\", "\n"),
        ("\\XC7\\a", "Ça"),
        ("\\XE28082\\", "\u2002"),
        ("\\X4\\", "\\X4\\"),
        ("\\C2842\\\\M2842\\\\Z99\\x", "x"),
        ("\\H\\bold\\N\\", "bold"),
        ("C:\\temp and more", "C:\\temp and more"),
        ("half \\T", "half \\T"),
    ],
)
def test_escape_sequences_mean_what_the_standard_says(written: str, expected: str) -> None:
    assert unescape(written, USUAL) == expected


@pytest.mark.parametrize(
    ("start", "expected", "warnings"),
    [
        ("MSH|^~\\&|", Separators("|"), []),
        ("MSH|^~\\&#|", Separators("|"), []),
        ("MSH|^~&|", Separators("|", "^", "~", "", "&"), ["escape_character_missing"]),
        ("MSH|^~\\\\&|", Separators("|"), ["separators_repeated"]),
        ("MSH||", Separators("|"), []),
        ("MSH@~*!#@", OWN, []),
    ],
)
def test_separators_are_the_senders_own(start: str, expected: Separators, warnings: list[str]) -> None:
    field = expected.field
    made = message(start + field.join(["", "", "", "", "", "", "ADT", "1"]))

    assert (expected, warnings) == (made.separators, made.warnings)


def test_fields_count_as_in_the_standard() -> None:
    made = message(MSH, 'PID|1||4711^^^NORTH&2.999&ISO^MR~22||A\\T\\B&C^""|""')
    pid = made.all("PID")[0]

    assert [made.header.text(1), made.header.text(9, 2), made.header.text(12)] == ["|", "A08", "2.5.1"]
    assert [pid.text(3), pid.text(3, 4, 2), len(pid.repetitions(3)), pid.text(3, 9), pid.text(99)] == ["4711", "2.999", 2, None, None]
    assert [pid.text(5), pid.text(5, 1, 2), pid.text(5, 2), pid.is_deleted(6), pid.text(6)] == ["A&B", "C", None, True, None]


def test_a_batch_is_split_into_its_messages_whatever_is_broken_between() -> None:
    content = b"\xef\xbb\xbfFHS|^~\\&|A\r\nBHS|^~\\&\r\nMSH|^~\\&|1\r\nPID|1\r\nMSH|^\r\n\x0bMSH|^~\\&|2\nPID|2\x1c\r\nBTS|2\r\nFTS|1\r\n"

    assert split_messages(content) == [b"MSH|^~\\&|1\r\nPID|1", b"MSH|^", b"MSH|^~\\&|2\nPID|2"]


def test_a_segment_name_in_a_text_starts_no_message() -> None:
    content = f"{MSH}\rOBX|1|TX|||see MSH|^ below\rNTE|1||MSHX".encode()

    assert [content] == split_messages(content)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("MSH|^~\\&|é".encode(), ("MSH|^~\\&|é", [])),
        ("MSH|^~\\&||||||||||||||||8859/1|é".encode("latin-1"), ("MSH|^~\\&||||||||||||||||8859/1|é", [])),
        ("MSH|^~\\&||||||||||||||||8859/1|é".encode(), ("MSH|^~\\&||||||||||||||||8859/1|é", [])),
        ("MSH|^~\\&|é€".encode("cp1252"), ("MSH|^~\\&|é€", ["charset_guessed"])),
        (b"MSH|^~\\&|\x81\xe9", ("MSH|^~\\&|\x81é", ["charset_guessed"])),
    ],
)
def test_utf8_comes_first_then_what_is_declared_then_a_guess(content: bytes, expected: tuple[str, list[str]]) -> None:
    assert expected == decode(content)


def test_a_line_that_is_no_segment_belongs_to_the_text_before_it() -> None:
    made = message(MSH, "OBX|1|TX|||first", "second line", "PID|1")

    assert (made.all("OBX")[0].text(5), made.warnings) == ("first\nsecond line", ["line_without_segment"])
    assert [one.name for one in made.segments] == ["MSH", "OBX", "PID"]


def test_two_patients_or_none_give_no_key() -> None:
    one, other = "PID|1||1^^^N^MR", "PID|2||2^^^N^MR"

    assert light_identity(f"{MSH}\r{one}".encode(), PROVIDER).patient_key is not None
    assert light_identity(f"{MSH}\r{one}\r{other}".encode(), PROVIDER).patient_key is None
    assert light_identity(MSH.encode(), PROVIDER).patient_key is None


@given(st.binary(max_size=300) | st.binary(max_size=200).map(lambda one: MSH.encode() + b"\r" + one))
def test_no_bytes_make_parsing_raise(content: bytes) -> None:
    parse(content)
    light_identity(content, PROVIDER)
    assert b"".join(split_messages(content)) or not narrow(content).strip(b"\xef\xbb\xbf \t\r\n\x0b\x1c\x00\x1a")


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 60), st.integers(1, 9), st.integers(1, 9))
def test_no_field_makes_reading_raise(text: str, field: int, component: int, subcomponent: int) -> None:
    segment = Segment("OBX", "OBX|" + text, USUAL, 1)

    found = segment.text(field, component, subcomponent)
    assert found is None or found == found.strip() != ""
