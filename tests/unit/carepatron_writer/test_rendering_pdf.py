"""A document as a PDF: everything is there, the diet first, and equal documents make equal bytes."""

import os
import subprocess
import sys

import pypdfium2
import pytest

from services.carepatron_writer.rendering import RENDERING
from services.carepatron_writer.rendering.printing import render
from shared.canonical.elements import Section
from shared.identity import digest
from tests.unit.carepatron_writer.rendering_examples import (
    LDL,
    MAX_BYTES,
    TYPES,
    a_full_report,
    a_report,
    a_result,
    attached_to,
    pages_of,
    rendered,
    squeezed,
    text_of,
    words_of,
)

# A change here changes what platforms show of every document: count RENDERING up, so that a replay brings it to them as a newer version.
OF_THIS_RENDERING = (2, "94f4aac21b1ff18718d5b951410a465d5205081b1f2ae187ac84de597d0a4056")
DIGEST_APART = (
    "from tests.unit.carepatron_writer.rendering_examples import a_full_report, rendered;"
    "from shared.identity import digest; print(digest(rendered(a_full_report()).content))"
)


def test_everything_that_the_document_says_is_in_the_pdf() -> None:
    document = a_full_report()
    made = rendered(document)
    text = squeezed(text_of(made.content))

    assert made.media_type == "application/pdf"
    assert made.warnings == ()
    assert [word for word in words_of(document) if word not in text] == []


def test_diet_and_allergies_come_first_and_denials_stay_denials() -> None:
    text = text_of(rendered(a_full_report()).content)
    on_top = text[text.index("Diet and allergies, as stated here") : text.index("Outside the expected range")]

    assert text.index("Diet and allergies") < text.index("Outside the expected range") < text.index("Vital signs") < text.index("Results")
    for said in ("Peanut Anaphylaxis Active", "No known allergy to shellfish", "Low sodium diet", "No grapefruit"):
        assert said in on_top
    assert "Weight" not in on_top


def test_silence_about_diet_is_no_denial() -> None:
    assert "That does not say that there is nothing" in text_of(rendered(a_report(text="Well.")).content)


def test_what_is_out_of_range_stands_on_top_with_critical_results_first() -> None:
    text = text_of(rendered(a_full_report()).content)
    on_top = text[text.index("Outside the expected range") : text.index("Vital signs")]

    assert on_top.index("Potassium 6.30 mmol/L HH") < on_top.index("LDL 4.90 mmol/L H")
    assert "Sodium" not in on_top


def test_results_are_a_table_with_flags_in_words() -> None:
    text = text_of(rendered(a_full_report()).content)

    assert "Test Value Range Flag Status Time" in text
    assert "Potassium 6.30 mmol/L 3.5-5.1 HH critically high 2026-11-01 08:15 +01:00" in text
    assert "Sodium 139 mmol/L cancelled 2026-11-01 08:20 +01:00" in text
    assert "Panel 57698-3 · Taken 2026-11-01" in text


def test_lines_that_only_repeat_results_are_left_out_and_others_stay() -> None:
    text = text_of(rendered(a_full_report()).content)

    assert "(reference 3.5-5.1)" not in text
    assert "Sample slightly lipaemic." in text


@pytest.mark.parametrize(
    "line", ["LDL: 4.90 mmol/L not confirmed", "No LDL: 4.90 mmol/L", "LDL: 4.9 mmol/L", "LDL: 4.90 mmol/L (reference 0-3) HH"]
)
def test_a_line_that_says_anything_else_than_its_result_stays(line: str) -> None:
    assert line in text_of(rendered(a_report(text=line, results=[LDL])).content)


@pytest.mark.parametrize(
    ("status", "said"), [("preliminary", "may still change"), ("superseded", "newer version"), ("withdrawn", "Do not rely on it")]
)
def test_what_is_not_current_says_so(status: str, said: str) -> None:
    assert said in text_of(rendered(a_report(text="Well.", status=status)).content)


def test_results_of_a_panel_stand_in_its_section() -> None:
    sections = [Section("57698-3", "Lipids", "LDL: 4.90 mmol/L\nFasting sample"), Section(None, "Advice", "Less fat")]
    text = text_of(rendered(a_report(sections=sections, results=[a_result("LDL", "4.90", group="57698-3")])).content)

    assert text.index("Lipids") < text.index("LDL 4.90 mmol/L") < text.index("Fasting sample") < text.index("Advice")
    assert text.count("4.90") == 1
    assert "Results" not in text


def test_later_pages_say_what_they_belong_to_and_all_say_where_they_come_from() -> None:
    content = rendered(a_report(text="\n".join(f"Line {number}" for number in range(200)), title="Long letter")).content
    with pypdfium2.PdfDocument(content) as pdf:
        pages = [page.get_textpage().get_text_range() for page in pdf]

    assert len(pages) > 1
    assert "Long letter" in pages[-1]
    for number, page in enumerate(pages, 1):
        assert "Rendered by healthcare-records from Harbour GP · document 00000000-0000-0000-0000-000000000007" in page
        assert f"Page {number} of {len(pages)}" in page


def test_nothing_of_a_person_is_in_the_metadata() -> None:
    content = rendered(a_full_report(title="Letter about Anna Marker", authors=["Dr Marker"])).content
    with pypdfium2.PdfDocument(content) as pdf:
        assert "Marker" not in str(pdf.get_metadata_dict())
        assert "Marker" not in str([(one.get_title()) for one in pdf.get_toc()])
    assert b"Marker" not in content[content.index(b"<x:xmpmeta") : content.index(b"</x:xmpmeta")]


def test_equal_documents_make_equal_bytes_in_every_process() -> None:
    here = digest(rendered(a_full_report()).content)
    for seed in ("1", "2"):
        command = [sys.executable, "-c", DIGEST_APART]
        apart = subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True)

        assert here == apart.stdout.strip()


def test_other_bytes_for_the_same_document_are_another_rendering() -> None:
    assert (RENDERING, digest(rendered(a_full_report()).content)) == OF_THIS_RENDERING


def test_very_long_documents_are_cut_and_say_so_and_have_all_of_it_attached() -> None:
    document = a_report(text="\n".join(f"Line {number} of it" for number in range(9_000)))
    made = rendered(document)
    text = text_of(made.content)

    assert made.warnings == ("text_cut",)
    assert text.index("longer than what is shown here") < text.index("Line 0 of it")
    assert "The text was cut here." in text
    assert "Line 8999 of it" not in text
    assert b"Line 8999 of it" in attached_to(made.content)["full-text.txt"]
    assert pages_of(made.content) < 200


def test_very_many_results_are_cut_too() -> None:
    made = rendered(a_report(results=[a_result(f"Test {number}", "1") for number in range(7_000)]))

    assert made.warnings == ("text_cut",)
    assert b"Test 6999" in attached_to(made.content)["full-text.txt"]


def test_a_title_that_is_no_title_is_text() -> None:
    title = " ".join(f"word{number}" for number in range(100))
    text = text_of(rendered(a_report(sections=[Section(None, title, "Body")])).content)

    assert "word99" in text


@pytest.mark.parametrize(("media_types", "rendering"), [(("text/plain",), "pdf"), (TYPES, "text")])
def test_platforms_that_want_no_pdf_get_text(media_types: tuple[str, ...], rendering: str) -> None:
    made = render(a_full_report(), {}, media_types=media_types, max_bytes=MAX_BYTES, rendering=rendering)

    assert made is not None
    assert (made.media_type, made.warnings) == ("text/plain", ())
