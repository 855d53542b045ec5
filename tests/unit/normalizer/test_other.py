"""Files read for their text: one document each, itself as the attachment, nothing raised."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.normalizer.readers.other import read_other
from services.normalizer.readers.texts import media_type_of, plain_text
from shared.canonical.reading import Format, ProviderProfile
from shared.formats.files import light_identity
from shared.formats.recognise import recognise
from shared.identity import digest
from shared.outcomes import Reason

PROVIDER = ProviderProfile("clinic-a", organization="Invented Clinic")
GOLDEN = Path(__file__).parents[2] / "golden" / "other"
FORMATS: tuple[Format, ...] = ("pdf", "image", "rtf", "text", "unknown")


def content_of(case: str) -> bytes:
    """The input of a golden case."""
    return next((GOLDEN / case).glob("input.*")).read_bytes()


@pytest.mark.parametrize("case", ["pdf", "image", "rtf", "text-latin1", "html"])
def test_a_file_is_one_document_with_its_bytes_beside_it(case: str) -> None:
    content = content_of(case)
    reading = read_other(content, recognise(content), PROVIDER)
    (document,) = reading.documents

    assert {digest(content): content} == reading.files
    assert [(digest(content), len(content))] == [(one.sha256, one.size) for one in document.content.attachments]
    assert light_identity(content, PROVIDER) == (None, document.document_id, None, document.source_version)
    assert (document.patient_key, document.source.organization) == (None, "Invented Clinic")


def test_any_change_is_another_document() -> None:
    first, second = (read_other(one, "text", PROVIDER).documents[0] for one in (b"words", b"words "))

    assert first.document_id != second.document_id
    assert first.source_version == second.source_version == "file:00000000000000000000:00000000T000000.000000Z:00"


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b" \r\n\t"])
def test_nothing_is_refused_as_nothing(content: bytes, format: Format) -> None:
    assert read_other(content, format, PROVIDER).reason == Reason.EMPTY_CONTENT


@pytest.mark.parametrize(
    ("case", "reason"),
    [("pdf-encrypted", Reason.ENCRYPTED), ("pdf-damaged", Reason.MALFORMED_DOCUMENT), ("unknown", Reason.UNKNOWN_FORMAT)],
)
def test_what_cannot_be_read_is_refused(case: str, reason: Reason) -> None:
    content = content_of(case)

    assert reason == read_other(content, recognise(content), PROVIDER).reason


@pytest.mark.parametrize("format", ["hl7v2", "fhir", "ccda", "json"])
def test_other_formats_have_their_own_readers(format: Format) -> None:
    assert read_other(b"content", format, PROVIDER).reason == Reason.UNSUPPORTED_CONTENT


def test_a_title_is_the_file_s_own_else_its_name() -> None:
    assert read_other(content_of("pdf"), "pdf", PROVIDER, name="plan.pdf").documents[0].title == "Synthetic diet plan"
    assert read_other(b"words", "text", PROVIDER, name=" plan\n.txt ").documents[0].title == "plan .txt"


def test_an_image_that_claims_to_be_enormous_is_kept_and_never_decoded() -> None:
    small = content_of("image")
    enormous = small[:16] + b"\0\0\xff\xff\0\0\xff\xff" + small[24:]
    reading = read_other(enormous, "image", PROVIDER)

    assert [one.code for one in reading.warnings] == ["image_very_large"] or reading.reason == Reason.MALFORMED_DOCUMENT


@pytest.mark.parametrize(
    ("content", "media_type", "expected"),
    [
        ("Größe".encode("utf-16"), None, "Größe"),
        ("\ufeffGröße".encode(), None, "Größe"),
        ("żółw".encode("iso-8859-2"), "text/plain; charset=iso-8859-2", "żółw"),
        ("żółw".encode("iso-8859-2"), "text/plain; charset=klingon", "¿ó³w"),
        (b"a\0b", None, "ab"),
    ],
)
def test_text_is_decoded_as_declared_or_guessed(content: bytes, media_type: str | None, expected: str) -> None:
    assert expected == read_other(content, "text", PROVIDER, media_type=media_type).documents[0].content.text


def test_deep_html_ends() -> None:
    reading = read_other(b"<html>" + b"<div>" * 300_000 + b"x", "text", PROVIDER)

    assert reading.outcome == "normalized"


@pytest.mark.parametrize(
    ("content", "declared", "expected"),
    [
        (b"%PDF-1.4", "image/gif", "application/pdf"),
        (b"MZ\x90", "application/pdf", "application/octet-stream"),
        (b"<html><body>", "application/pdf", "text/html"),
        (b"{\\rtf1}", "text/rtf", "text/rtf"),
        (b"\x89PNG\r\n\x1a\n", "application/octet-stream", "image/png"),
        (b"words", "Text/Plain; charset=utf-8", "text/plain"),
    ],
)
def test_a_media_type_is_what_the_bytes_bear_out(content: bytes, declared: str, expected: str) -> None:
    assert expected == media_type_of(content, declared)


def test_only_text_has_text() -> None:
    assert plain_text(b"{\\rtf1 Hello}", "text/rtf") == "Hello"
    assert plain_text(b"<p>Hello</p>", "text/html") == "Hello"
    assert plain_text(b"%PDF-1.4", "application/pdf") is None


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"%PDF-1.4\n", b"{\\rtf1\\ansi ", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"<html>", b"II*\0", b"RIFF\0\0\0\0WEBP"]),
)
def test_no_bytes_break_a_reader(tail: bytes, head: bytes) -> None:
    content = head + tail
    for format in FORMATS:
        reading = read_other(content, format, PROVIDER)

        assert reading.outcome in ("normalized", "rejected")


@settings(max_examples=150)
@given(st.sampled_from(["pdf", "image", "rtf"]), st.integers(0, 800), st.binary(max_size=30))
def test_no_damage_breaks_a_reader(case: str, place: int, noise: bytes) -> None:
    content = content_of(case)
    damaged = content[:place] + noise + content[place + len(noise) :]

    read_other(damaged, recognise(damaged), PROVIDER)
