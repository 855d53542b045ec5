"""Whatever a document says is only words, in any script: shown, spelled out, or given as text. Never an exception."""

from collections import Counter

import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.carepatron_writer.rendering.printing import render
from shared.canonical.elements import Attachment, Coding, Content, Result, Section, Value
from shared.canonical.models import DocumentType
from tests.unit.carepatron_writer.rendering_examples import (
    MAX_BYTES,
    TYPES,
    a_report,
    attached_to,
    by_digest,
    rendered,
    squeezed,
    text_of,
    words_of,
)

MARKUP = (
    r'#import "x": * #panic() $x$ @ref \ *bold* _it_ `raw` <label> = head #read("/etc/passwd") // gone /* gone */ [#[ https://x.example'
)


@pytest.mark.parametrize("field", ["title", "text", "section", "author", "name", "value", "group", "file"])
def test_markup_is_only_words(field: str) -> None:
    result = Result(Coding(display="LDL"), Value("text", text="x"), "1-2", "H", "final", "2026", "Panel")
    document = a_report(text="Text", results=[result], sections=[Section(None, "Title", "Words")], attachments=[Attachment("text/plain")])
    match field:
        case "title":
            document.title = MARKUP
        case "text":
            document.content.text = MARKUP
        case "section":
            document.content.sections = [Section(None, MARKUP, f"{MARKUP}\n- {MARKUP} | {MARKUP}\n{MARKUP} | x")]
        case "author":
            document.authors = [MARKUP]
        case "name":
            result.code = Coding(display=MARKUP)
        case "value":
            result.value = Value("text", text=MARKUP)
        case "group":
            result.group = MARKUP
        case "file":
            document.content.attachments = [Attachment(MARKUP, 1, None, MARKUP, MARKUP)]
    made = rendered(document)

    assert made.media_type == "application/pdf"
    assert squeezed(MARKUP) in squeezed(text_of(made.content))


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("safe\u202etxet desrever\u202c end", "safetxet desrever end"),
        ("no\u200b known\ufeff aller\u00adgies", "no known allergies"),
        ("bell\x07 and\x1b[31m red\x00", "bell and[31m red"),
        ("x\u200dy\u2066z\u2069", "xyz"),
        ("\uf0b7 Item", "• Item"),
    ],
)
def test_what_is_not_seen_is_left_out(said: str, read: str) -> None:
    made = rendered(a_report(text=said))

    assert made.warnings == ()
    assert squeezed(read) in squeezed(text_of(made.content))


def test_symbols_that_no_font_has_are_spelled_out_and_attached_as_they_came() -> None:
    made = rendered(a_report(text="Feels 😀, code \ue123 here"))

    assert made.warnings == ("characters_spelled_out",)
    assert "Feels [grinning face], code [U+E123] here" in text_of(made.content)
    assert "Feels 😀" in attached_to(made.content)["full-text.txt"].decode()


@pytest.mark.parametrize(
    "text",
    ["Ωmega Ελληνικά", "Аллергия на арахис", "Größe, œuf, łosoś, İğne, cà phê, smørrebrød", "≥ 5 µmol/L ± ½ → ✓ ₂", "e\u0301te\u0301"],
)
def test_scripts_that_the_fonts_have_are_shown(text: str) -> None:
    made = rendered(a_report(text=text))

    assert made.warnings == ()
    assert squeezed(text) in squeezed(text_of(made.content))


def test_hebrew_is_shown() -> None:
    made = rendered(a_report(text="אלרגיה לבוטנים", sections=[Section("48765-2", "אלרגיות", "בוטנים | כן\nחלב | לא")]))

    assert made.media_type == "application/pdf"
    assert "בוטנים" in text_of(made.content) or "םינטוב" in text_of(made.content)


@pytest.mark.parametrize(
    "text", ["患者对花生过敏", "ピーナッツ", "땅콩 알레르기", "แพ้ถั่วลิสง", "حساسية من الفول السوداني", "मूंगफली", "பொருள்", "\U0001f9ff漢"]
)
def test_scripts_that_the_fonts_have_not_become_text(text: str) -> None:
    made = rendered(a_report(text="Plain words", sections=[Section("48765-2", "Allergies", text)]))

    assert (made.media_type, made.warnings) == ("text/plain", ("rendered_as_text",))
    assert text in made.content.decode()


def test_wide_letters_are_shown_as_plain_ones() -> None:
    made = rendered(a_report(text="ＡＢＣ １２"))

    assert made.warnings == ("characters_spelled_out",)
    assert "ABC 12" in text_of(made.content)


@pytest.mark.parametrize("separator", [" ", " | ", "\n", "  \n  "])
def test_words_of_any_length_stay_on_the_page(separator: str) -> None:
    words = ["w" * 10_000, "W" * 300, "end"]
    results = [Result(Coding(display="q" * 500), Value("text", text="Q" * 500), "Z" * 300, "z" * 300)]
    content = rendered(a_report(text=separator.join(words), results=results)).content
    found: Counter[str] = Counter()
    with pypdfium2.PdfDocument(content) as pdf:
        for page in pdf:
            text = page.get_textpage()
            found.update(text.get_text_bounded(left=40, right=page.get_width() - 40))

    for letter, count in (("w", 10_000), ("W", 300), ("q", 500), ("Q", 500), ("Z", 300), ("z", 300)):
        assert found[letter] >= count


@pytest.mark.parametrize(
    "text",
    [
        " " * 300_000,
        "| " * 150_000,
        ": " * 150_000,
        "-" * 300_000,
        "a" + " " * 300_000 + "|",
        "\n \t" * 100_000,
        "a|" * 150_000,
        "- " * 150_000,
    ],
)
def test_text_made_to_be_slow_is_not_slow(text: str) -> None:
    """What takes the square of its length would not be done before the test is ended."""
    results = [Result(Coding(display=": " * 50), Value("text", text="x")) for _ in range(300)]
    made = rendered(a_report(text=f"Start\n{text}\nend", sections=[Section(None, text[:200_000], text)], results=results))

    assert made.media_type == "application/pdf"


WORDS = st.text(st.characters(codec="latin-1", exclude_categories=("Cc", "Cf")), max_size=30) | st.sampled_from(
    [
        "- item",
        "1. first",
        "Ω → µ",
        "Привет",
        "a | b",
        "x  y   z",
        "No known allergies",
        "|",
        "| - |",
        "---",
        "\t",
        "#let",
        "=",
        "//",
        "/*",
        "*/",
        "$",
    ]
)
PASSAGES = st.lists(WORDS, max_size=6).map("\n".join)
SECTIONS = st.builds(Section, st.sampled_from([None, "48765-2", "8716-3"]), st.none() | WORDS, st.none() | PASSAGES)
RESULTS = st.builds(
    Result,
    st.builds(Coding, display=WORDS),
    st.builds(Value, st.just("text"), text=WORDS, unit=st.none() | st.just("mmol/L")),
    st.none() | WORDS,
    st.sampled_from([None, "H", "LL", "N", "odd"]),
    st.sampled_from(["final", "cancelled", "preliminary", "unknown"]),
    st.none() | st.sampled_from(["2026-11-01T08:15:00Z", "2026"]),
    st.none() | WORDS,
)
CONTENTS = st.builds(Content, st.none() | PASSAGES, st.lists(SECTIONS, max_size=4), st.lists(RESULTS, max_size=4))


@settings(max_examples=120, deadline=None)
@given(content=CONTENTS, title=WORDS, authors=st.lists(WORDS, max_size=2))
def test_every_word_is_in_the_pdf(content: Content, title: str, authors: list[str]) -> None:
    document = a_report(title=title, authors=authors, type=DocumentType.CONSULT_NOTE)
    document.content = content
    made = render(document, {}, media_types=TYPES, max_bytes=MAX_BYTES)
    if made is None:  # nothing but a title
        return
    text = squeezed(text_of(made.content))

    assert made.media_type == "application/pdf"
    assert sorted(word for word in words_of(document) if word not in text) == []


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=80), title=st.text(max_size=20), data=st.binary(max_size=200), media_type=st.text(max_size=20))
def test_nothing_raises(text: str, title: str, data: bytes, media_type: str) -> None:
    file = Attachment(media_type, len(data), next(iter(by_digest(data))), title)
    document = a_report(text=text, title=title, sections=[Section(None, title, text)], attachments=[file])
    made = render(document, by_digest(data), media_types=TYPES, max_bytes=MAX_BYTES)

    assert made is None or made.content
