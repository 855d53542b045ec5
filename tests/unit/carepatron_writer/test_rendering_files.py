"""The files of a document in its PDF: each byte is there, pages are shown, and what is broken breaks nothing else."""

from random import Random

import pypdfium2
import pytest

from services.carepatron_writer.rendering import choose_file, wanted_files
from services.carepatron_writer.rendering.originals import MAX_FILES, MAX_PAGES
from services.carepatron_writer.rendering.printing import render
from shared.canonical.elements import Attachment, Section
from tests.unit.carepatron_writer.rendering_examples import (
    LDL,
    MAX_BYTES,
    TYPES,
    a_bomb,
    a_file,
    a_form,
    a_full_report,
    a_pdf,
    a_picture,
    a_report,
    an_encrypted_pdf,
    attached_to,
    by_digest,
    pages_of,
    rendered,
    text_of,
)

LETTER = a_pdf("First page of the letter", "Second page of the letter")
PHOTO = a_picture("JPEG")
PDF = "application/pdf"


def _is_red(content: bytes, page: int) -> bool:
    """Whether a page shows the picture."""
    with pypdfium2.PdfDocument(content) as pdf:
        image = pdf[page].render(scale=0.5).to_pil().convert("RGB")
    return any(red > 150 and green < 90 and blue < 90 for _, (red, green, blue) in image.getcolors(1 << 20))


def test_files_beside_structured_content_are_attached_byte_for_byte_and_shown() -> None:
    document = a_full_report(attachments=[a_file(LETTER, PDF, "Letter"), a_file(PHOTO, "image/jpeg", "Photo")])
    made = rendered(document, LETTER, PHOTO)
    text = text_of(made.content)

    assert made.warnings == ()
    assert attached_to(made.content) == {"original-1.pdf": LETTER, "original-2.jpg": PHOTO}
    assert pages_of(made.content) == 4
    assert "Letter (application/pdf, 2 pages" in text
    assert text.index("Attached as original-1.pdf") < text.index("First page of the letter") < text.index("Second page of the letter")
    assert _is_red(made.content, 3)


@pytest.mark.parametrize(("format", "media_type", "frames"), [("PNG", "image/png", 1), ("TIFF", "image/tiff", 3), ("GIF", "image/gif", 1)])
def test_pictures_of_every_kind_are_shown(format: str, media_type: str, frames: int) -> None:
    picture = a_picture(format, frames=frames)
    made = rendered(a_full_report(attachments=[a_file(picture, media_type)]), picture)

    assert made.warnings == ()
    assert pages_of(made.content) == 1 + frames
    assert _is_red(made.content, frames)
    assert list(attached_to(made.content).values()) == [picture]


def test_a_fax_alone_is_shown_where_platforms_take_no_fax() -> None:
    fax = a_picture("TIFF", frames=2)
    made = rendered(a_report(attachments=[a_file(fax, "image/tiff", "Fax")]), fax)

    assert (made.media_type, pages_of(made.content)) == (PDF, 3)


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (LETTER[:300], PDF),
        (b"no PDF at all", PDF),
        (an_encrypted_pdf(), PDF),
        (a_bomb(), "image/png"),
        (PHOTO[:80], "image/jpeg"),
        (b"\x89PNG\r\n\x1a\nbroken", "image/png"),
        (a_picture("TIFF")[:60], "image/tiff"),
        (b"%PDF-1.7\n%%EOF", PDF),
    ],
)
def test_a_broken_file_is_attached_as_it_is_and_nothing_else_suffers(data: bytes, media_type: str) -> None:
    document = a_full_report(attachments=[a_file(data, media_type, "Broken"), a_file(LETTER, PDF, "Letter")])
    made = rendered(document, data, LETTER)
    text = text_of(made.content)

    assert set(attached_to(made.content).values()) == {data, LETTER}
    assert "Peanut" in text
    assert "Second page of the letter" in text
    assert set(made.warnings) <= {"pages_not_shown"}


def test_what_could_not_be_shown_is_said() -> None:
    made = rendered(a_full_report(attachments=[a_file(LETTER[:300], PDF, "Broken")]), LETTER[:300])

    assert made.warnings == ("pages_not_shown",)
    assert "It could not be shown here: it is damaged or locked." in text_of(made.content)


def test_what_was_filled_into_a_form_is_shown() -> None:
    form = a_form("No peanuts please")
    made = rendered(a_full_report(attachments=[a_file(form, PDF, "Form")]), form)

    assert "No peanuts please" in text_of(made.content)
    assert list(attached_to(made.content).values()) == [form]


def test_hostile_names_and_types_of_files_are_only_words() -> None:
    data = b"\x00\x01"
    made = rendered(a_full_report(attachments=[a_file(data, "x/y; #panic()\n", '../../etc/passwd"#panic()')]), data)

    assert attached_to(made.content) == {"original-1.bin": data}
    assert '../../etc/passwd"#panic()' in text_of(made.content)


def test_files_that_may_run_in_a_browser_are_attached_as_text() -> None:
    page = b"<script>alert(1)</script>"
    made = rendered(a_full_report(attachments=[a_file(page, "text/html"), a_file(page + b" ", "image/svg+xml")]), page, page + b" ")

    assert set(attached_to(made.content)) == {"original-1.txt", "original-2.bin"}


def test_text_files_are_shown_unless_the_document_says_it_already() -> None:
    note, known = b"Eat more fibre.\nCall back.", b"Low sodium diet"
    document = a_report(
        text="Low sodium diet", results=[LDL], attachments=[a_file(note, "text/plain", "Advice"), a_file(known, "text/plain")]
    )
    text = text_of(rendered(document, note, known).content)

    assert "Advice\nEat more fibre.\nCall back." in text
    assert text.count("Low sodium diet") == 1


def test_a_file_that_lies_elsewhere_is_named() -> None:
    elsewhere = Attachment(PDF, None, None, "Old letter", "https://files.example.org/1.pdf")
    made = rendered(a_full_report(attachments=[elsewhere, Attachment(PDF, 4, None, "Lost letter")]))
    text = text_of(made.content)

    assert made.warnings == ("file_missing",)
    assert "Old letter (application/pdf)\nNot here: it lies at https://files.example.org/1.pdf" in text
    assert "Lost letter (application/pdf, 4 bytes)\nNot here: its content did not come with the document." in text


def test_one_file_twice_is_attached_once() -> None:
    made = rendered(a_full_report(attachments=[a_file(LETTER, PDF, "Letter"), a_file(LETTER, PDF, "Copy")]), LETTER)

    assert attached_to(made.content) == {"original-1.pdf": LETTER}
    assert "Letter; Copy (application/pdf" in text_of(made.content)


def test_only_so_many_pages_are_shown() -> None:
    book = a_pdf(*(f"Leaf {number} of the book" for number in range(MAX_PAGES + 5)))
    made = rendered(a_full_report(attachments=[a_file(book, PDF, "Book")]), book)
    text = text_of(made.content)

    assert made.warnings == ("pages_not_shown",)
    assert f"Pages after {MAX_PAGES} are not shown here." in text
    assert f"Leaf {MAX_PAGES - 1} of the book" in text
    assert f"Leaf {MAX_PAGES} of the book" not in text


def test_of_very_many_files_the_first_are_attached() -> None:
    files = [f"file {number}".encode() for number in range(MAX_FILES + 5)]
    made = rendered(a_full_report(attachments=[a_file(one, "application/octet-stream") for one in files]), *files)

    assert len(attached_to(made.content)) == MAX_FILES
    assert "5 more files" in text_of(made.content)
    assert made.warnings == ("file_missing",)


def test_what_is_too_large_is_left_out_step_by_step() -> None:
    large = a_picture("PNG", size=(900, 900)) + Random(1).randbytes(300_000)  # behind the picture
    small = a_pdf("Small letter")
    document = a_full_report(attachments=[a_file(large, "image/png", "Large"), a_file(small, PDF, "Small")])
    whole = rendered(document, large, small)
    seen = []
    for room in (len(whole.content), len(whole.content) - 1, len(large) - 1, 40_000):
        made = rendered(document, large, small, max_bytes=room)
        seen.append((sorted(attached_to(made.content)) if made.media_type == PDF else made.media_type, made.warnings))

        assert len(made.content) <= room

    assert whole.warnings == ()
    assert seen[0] == (["original-1.png", "original-2.pdf"], ())
    assert seen[1] == (["original-1.png", "original-2.pdf"], ("pages_not_shown",))
    assert seen[2] == ([], ("file_not_attached", "pages_not_shown"))
    assert seen[3] == ("text/plain", ("rendered_as_text", "file_not_attached"))


def test_a_file_that_is_not_attached_is_said_to_be_with_the_source() -> None:
    large = Random(1).randbytes(1_000_000)
    made = rendered(a_full_report(attachments=[a_file(large, "application/octet-stream", "Large")]), large, max_bytes=500_000)

    assert made.warnings == ("file_not_attached",)
    assert "Not attached: it is too large for here and stays with the source. SHA-256" in text_of(made.content)


@pytest.mark.parametrize("text", [None, "First page of the letter\nSecond page of the letter", "First page of the letter"])
def test_a_document_that_is_just_a_file_stays_that_file(text: str | None) -> None:
    document = a_report(text=text, attachments=[a_file(LETTER, PDF)])

    assert (rendered(document, LETTER).content, rendered(document, LETTER).media_type) == (LETTER, PDF)


def test_text_beside_a_file_is_not_lost() -> None:
    document = a_report(text="Second page of the letter\nCritical potassium!", attachments=[a_file(LETTER, PDF)])
    made = rendered(document, LETTER)

    assert "Critical potassium!" in text_of(made.content)
    assert attached_to(made.content) == {"original-1.pdf": LETTER}


def test_sections_beside_a_file_are_not_lost() -> None:
    document = a_report(sections=[Section(None, "Plan", "Less salt")], attachments=[a_file(PHOTO, "image/jpeg")])
    text = text_of(rendered(document, PHOTO).content)

    assert choose_file(document, TYPES) is None
    assert "Less salt" in text


def test_nothing_to_show_is_no_rendering() -> None:
    unknown = b"\x00\x01"

    assert render(a_report(), {}, media_types=TYPES, max_bytes=MAX_BYTES) is None
    document = a_report(attachments=[a_file(unknown, "application/octet-stream")])
    assert render(document, by_digest(unknown), media_types=TYPES, max_bytes=MAX_BYTES) is None


def test_files_alone_that_cannot_be_shown_are_not_lost() -> None:
    one, other = LETTER[:300], LETTER[:301]

    assert rendered(a_report(attachments=[a_file(one, PDF)]), one).content == one
    both = rendered(a_report(attachments=[a_file(one, PDF), a_file(other, PDF)]), one, other)
    assert set(attached_to(both.content).values()) == {one, other}


def test_several_files_are_one_document() -> None:
    made = rendered(a_report(attachments=[a_file(LETTER, PDF), a_file(PHOTO, "image/jpeg")]), LETTER, PHOTO)

    assert (pages_of(made.content), len(attached_to(made.content))) == (4, 2)


def test_text_that_goes_without_its_files_says_so() -> None:
    document = a_full_report(attachments=[a_file(LETTER, PDF)])
    made = render(document, by_digest(LETTER), media_types=("text/plain", PDF), max_bytes=1_000)

    assert made is not None
    assert (made.media_type, made.warnings) == ("text/plain", ("rendered_as_text", "file_not_attached"))


def test_files_are_wanted_once_and_only_so_far_as_there_is_room() -> None:
    small, large = a_file(b"1234", PDF), Attachment(PDF, 90, "1" * 64)
    document = a_report(attachments=[large, small, small, Attachment(PDF, 30, None), Attachment(PDF, 20, "2" * 64)])

    assert wanted_files(document, 100) == (large, small)
    assert wanted_files(a_report(attachments=[large]), 80) == (large,)


def test_a_file_that_was_not_even_fetched_is_said_to_be_with_the_source() -> None:
    made = rendered(a_full_report(attachments=[Attachment(PDF, 4, "0" * 64, "Large letter")]))

    assert made.warnings == ("file_not_attached",)
    assert "Not attached: it is too large for here and stays with the source. SHA-256 0000" in text_of(made.content)
