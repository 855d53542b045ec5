"""How text becomes blocks, and results become tables."""

import pytest

from services.carepatron_writer.rendering.passages import Aligned, Block, Line, Lines, Table, blocks_of
from services.carepatron_writer.rendering.results import tables_of
from services.carepatron_writer.rendering.summary import SUMMARY_LINES, abnormal_lines, dietary_lines, dietary_passages
from services.carepatron_writer.rendering.words import shown_value, time_in_words, unsaid
from shared.canonical.elements import Coding, Section, Value
from tests.unit.carepatron_writer.rendering_examples import a_report, a_result


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("Food | Reaction\nEgg | Hives", [Table((("Food", "Reaction"), ("Egg", "Hives")), True)]),
        ("Sodium | 140\nKetones | trace", [Table((("Sodium", "140"), ("Ketones", "trace")), False)]),
        ("| Food | Reaction |\n|---|:---|\n| Egg | |", [Table((("Food", "Reaction"), ("Egg", "")), True)]),
        ("a | 1\n- | --\nb | 2", [Table((("a", "1"), ("-", "--"), ("b", "2")), False)]),
        ("Problem | Since\nGout\nHives | 2001", [Table((("Problem", "Since"), ("Gout",), ("Hives", "2001")), True)]),
        ("Before\na | 1\nAfter", [Lines((Line("Before"),)), Table((("a", "1"),), False), Lines((Line("After"),))]),
        ("- one\n  - two\n3. three", [Lines((Line("one", 0, "•"), Line("two", 1, "•"), Line("three", 0, "3.")))]),
        ("Weight   82\nHeight  168", [Aligned(("Weight   82", "Height  168"))]),
        ("A  wide gap", [Lines((Line("A  wide gap"),))]),
        ("one\n\ntwo", [Lines((Line("one"), Line(""), Line("two")))]),
        ("-5 to +3", [Lines((Line("-5 to +3"),))]),
        (" | ".join("abcdefghijk") + "\n" + " | ".join("lmnopqrstuv"), [Aligned((" | ".join("abcdefghijk"), " | ".join("lmnopqrstuv")))]),
        ("", []),
    ],
)
def test_text_becomes_blocks(text: str, blocks: list[Block]) -> None:
    assert blocks_of(text) == blocks


def test_results_stand_by_panel_and_only_columns_with_words_are_there() -> None:
    tables = tables_of(
        [a_result("A", "1", group="X"), a_result("B", "2", group="X", interpretation="LL"), a_result("C", "3", effective="2026")]
    )

    assert [(one.group, one.columns, one.time) for one in tables] == [("X", ("Test", "Value", "Flag"), ""), ("", ("Test", "Value"), "2026")]
    assert [row.tone for row in tables[0].rows] == ["plain", "critical"]
    assert tables[0].rows[1].cells == ("B", "2 mmol/L", "LL critically low")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Value("quantity", "4.90", "<", "mmol/L"), "<4.90 mmol/L"),
        (Value("range", text="3.50-5.10", unit="mmol/L"), "3.50-5.10 mmol/L"),
        (Value("coded", code=Coding(translations=[Coding(display="Present")])), "Present"),
        (Value("none", text="haemolysed"), "no value (haemolysed)"),
        (Value(), "no value"),
    ],
)
def test_values_are_shown_with_all_that_is_known(value: Value, shown: str) -> None:
    assert shown_value(value) == shown


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("2026-11-02T08:15:00+01:00", "2026-11-02 08:15 +01:00"),
        ("2026-11-02T08:15:30.250Z", "2026-11-02 08:15:30.250 UTC"),
        ("2026-11", "2026-11"),
        ("yesterday", "yesterday"),
        (None, ""),
    ],
)
def test_times_keep_their_precision(written: str | None, shown: str) -> None:
    assert time_in_words(written) == shown


def test_a_part_of_a_line_does_not_say_the_line() -> None:
    assert unsaid("Allergic to nuts\nLow salt", ["Not allergic to nuts", "low  SALT"]) == "Allergic to nuts"


def test_a_summary_says_that_there_is_more() -> None:
    many = "\n".join(f"Food {number}" for number in range(SUMMARY_LINES + 3))
    document = a_report(
        sections=[Section("48765-2", "Allergies", many), Section(None, "Diet", "Low salt")],
        results=[a_result(f"Test {number}", "1", interpretation="H") for number in range(SUMMARY_LINES + 3)],
    )

    assert dietary_lines(document)[-1] == "… and 5 more in the document"
    assert abnormal_lines(document)[-1] == "… and 4 more in the document"
    assert dietary_passages(document)[0][1].splitlines()[-1] == "… and 4 more in the document"
    assert dietary_passages(document)[1] == ("Diet", "… in the document")


def test_results_taken_back_are_not_abnormal_and_critical_ones_come_first() -> None:
    results = [a_result("A", "1", interpretation="H"), a_result("B", "2", interpretation="LL")]
    results.append(a_result("C", "3", interpretation="HH", status="cancelled"))

    assert abnormal_lines(a_report(results=results)) == ("B 2 mmol/L LL", "A 1 mmol/L H")
