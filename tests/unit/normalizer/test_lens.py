"""The diet lens: what fires, why, and that neither order nor repetition changes it."""

import string
from dataclasses import replace
from decimal import Decimal
from itertools import permutations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.normalizer.lens.changes import trail
from services.normalizer.lens.ranges import decimal_of, side_of
from services.normalizer.lens.rules import RULES, drug_rules, result_rule
from services.normalizer.lens.summary import MOST, summary
from services.normalizer.registry.patients import Statement, statement
from shared.canonical.elements import Coding, Content, DietaryPreference, DietKind, HistoryEntry, Result, Value
from shared.canonical.reading import PatientReading
from tests.builders import PATIENT, a_patient

LOINC, SNOMED, RXNORM = "http://loinc.org", "http://snomed.info/sct", "http://www.nlm.nih.gov/research/umls/rxnorm"
PEANUT = Coding(SNOMED, "762952008", "Peanut")
WEIGHT, POTASSIUM = "29463-7", "2823-3"


def measured(loinc: str, number: str | None, flag: str | None = None, *, unit: str | None = "mmol/L", **said: object) -> Result:
    value = Value("quantity", number=number, unit=unit) if number else Value("text", text="see note")
    return Result(Coding(LOINC, loinc, "Any name"), value, interpretation=flag, **said)  # type: ignore[arg-type]


def source(day: int, *results: Result, status: str = "current", **said: object) -> Statement:
    """A document of that day of November 2026."""
    document = msgspec.json.encode({"content": Content(results=list(results)), "date": f"2026-11-{day:02d}", "status": status})
    order = f"202611{day:02d}T000000.000000Z|v|{day}"
    return statement(f"document-{day:02d}", order, a_patient(**said), is_withdrawn=status == "withdrawn", document=document)


def preference(
    code: Coding | None = PEANUT, *, kind: DietKind = "allergy", status: str | None = "active", negated: bool = False
) -> DietaryPreference:
    return DietaryPreference(kind, code, None, status=status, negated=negated)


def drug(name: str, status: str | None = "active", *, negated: bool = False) -> HistoryEntry:
    return HistoryEntry("medication", None, name, status, negated=negated)


def marks(*sources: Statement) -> list[tuple[str, str, str]]:
    """Code, reason and place of what the last of these sources changed."""
    changed = trail(sources).get(sources[-1].source_key, [])
    return [(one.code, one.reason, one.path) for one, _ in changed]


def test_an_allergy_is_first_known_then_known_then_new_beside_others() -> None:
    egg = preference(Coding(SNOMED, "102263004", "Egg"))
    first = source(1, dietary_preferences=[preference()])

    assert marks(first) == [("food_allergy:appeared", "first_known", "dietary_preferences[0]")]
    assert marks(first, source(2, dietary_preferences=[preference()])) == []
    assert marks(first, source(2, dietary_preferences=[preference(), egg])) == [("food_allergy:appeared", "new", "dietary_preferences[1]")]


def test_the_same_allergen_under_another_code_is_no_news() -> None:
    first = source(1, dietary_preferences=[preference()])

    for display in ("PEANUT", "Allergy to peanut", "Peanut allergy"):
        local = preference(Coding("urn:oid:2.999.1", "PN", display))
        assert marks(first, source(2, dietary_preferences=[local])) == []


def test_a_denied_allergy_is_none() -> None:
    none_known = preference(Coding(SNOMED, "429625007", "No known food allergy"), negated=True)

    assert marks(source(1, dietary_preferences=[preference(negated=True), none_known])) == []


def test_what_a_newer_document_does_not_mention_has_not_ended() -> None:
    assert marks(source(1, dietary_preferences=[preference()]), source(2)) == []


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (preference(status="inactive"), "inactive"),
        (preference(status="resolved"), "resolved"),
        (preference(status="refuted"), "refuted"),
        (preference(negated=True), "refuted"),
        (preference(status="entered-in-error"), "withdrawn"),
    ],
)
def test_an_allergy_ends_when_a_source_says_so(said: DietaryPreference, reason: str) -> None:
    first = source(1, dietary_preferences=[preference()])

    assert marks(first, source(2, dietary_preferences=[said])) == [("food_allergy:ended", reason, "dietary_preferences[0]")]
    assert marks(source(2, dietary_preferences=[said])) == []
    assert marks(first, source(2, dietary_preferences=[said]), source(3, dietary_preferences=[preference()])) == [
        ("food_allergy:appeared", "again", "dietary_preferences[0]")
    ]


def test_a_withdrawn_document_ends_only_what_nobody_else_says() -> None:
    withdrawn = source(2, dietary_preferences=[preference()], status="withdrawn")

    assert marks(withdrawn) == [("food_allergy:ended", "withdrawn", "dietary_preferences[0]")]
    assert marks(source(1, dietary_preferences=[preference()]), withdrawn) == []


def test_of_two_statements_in_one_source_the_one_that_holds_counts() -> None:
    both = [preference(status="resolved"), preference()]

    assert marks(source(1, dietary_preferences=both)) == [("food_allergy:appeared", "first_known", "dietary_preferences[1]")]


def test_diet_orders_begin_and_end_and_plans_say_nothing() -> None:
    def low_salt(status: str) -> list[DietaryPreference]:
        return [preference(Coding(SNOMED, "386619000", "Low sodium diet"), kind="diet", status=status)]

    first = source(1, dietary_preferences=low_salt("active"))

    assert marks(first) == [("diet_order:appeared", "first_known", "dietary_preferences[0]")]
    assert marks(first, source(2, dietary_preferences=low_salt("completed"))) == [
        ("diet_order:ended", "completed", "dietary_preferences[0]")
    ]
    assert marks(source(1, dietary_preferences=low_salt("draft"))) == []


def test_a_drug_is_new_where_earlier_lists_were_without_it() -> None:
    lists = source(1, medical_history=[drug("Paracetamol 500 mg")])

    assert marks(source(2, medical_history=[drug("Warfarin 5 MG Oral Tablet")])) == [
        ("warfarin:appeared", "first_known", "medical_history[0]")
    ]
    assert marks(lists, source(2, medical_history=[drug("COUMADIN 5 mg")])) == [("warfarin:appeared", "new", "medical_history[0]")]


def test_another_brand_of_a_drug_is_no_news_and_its_end_is() -> None:
    first = source(1, medical_history=[drug("Ozempic 0.25 mg")])

    assert marks(first, source(2, medical_history=[drug("semaglutide 0.5 mg")])) == []
    assert marks(first, source(2, medical_history=[drug("semaglutide", "stopped")])) == [
        ("glp1_agonist:ended", "stopped", "medical_history[0]")
    ]
    assert marks(first, source(2, medical_history=[drug("semaglutide", negated=True)])) == [
        ("glp1_agonist:ended", "refuted", "medical_history[0]")
    ]


def test_completed_on_a_list_neither_ends_a_drug_nor_says_that_it_is_taken() -> None:
    listed = source(2, medical_history=[drug("metformin", "completed")])

    assert marks(listed) == [("metformin:appeared", "listed", "medical_history[0]")]
    assert marks(source(1, medical_history=[drug("metformin")]), listed) == []
    assert marks(source(1, medical_history=[drug("metformin", "stopped")]), listed) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("phenelzine 15 MG", ["maoi"]),
        ("Synjardy 5/1000", ["metformin", "sglt2_inhibitor"]),
        ("Potassium chloride 8 mmol", ["potassium_supplement"]),
        ("Chloride of potassium", ["potassium_supplement"]),
        ("Potassium permanganate", []),
        ("Insulin pen needles 4 mm", []),
        ("Hydrocortisone 1% cream", []),
        ("Hydrocortisone 10 mg tablets", ["corticosteroid"]),
        ("Warfarinoid", []),
    ],
)
def test_drugs_are_known_by_whole_words(name: str, expected: list[str]) -> None:
    assert [one.id for one in drug_rules(None, name)] == expected


def test_drugs_are_known_by_ingredient_and_by_the_words_of_any_coding() -> None:
    assert [one.id for one in drug_rules(Coding(RXNORM, "11289"), None)] == ["warfarin"]
    assert [one.id for one in drug_rules(Coding("x", "1", None, [Coding("y", "2", "Lithium carbonate")]), None)] == ["lithium"]
    assert drug_rules(Coding("http://snomed.info/sct", "11289"), None) == []


def test_a_result_leaves_its_range_and_comes_back() -> None:
    high, normal = source(1, measured(POTASSIUM, "5.9", "H")), source(2, measured(POTASSIUM, "4.5", "N"))

    assert marks(high) == [("potassium:out_of_range", "above", "results[0]")]
    assert marks(high, normal) == [("potassium:back_in_range", "within", "results[0]")]
    assert marks(normal) == []
    assert marks(high, source(2, measured(POTASSIUM, "6.0", "H"))) == []
    assert marks(high, source(2, measured(POTASSIUM, "6.9", "HH"))) == [("potassium:out_of_range", "critically_above", "results[0]")]
    assert marks(high, source(2, measured(POTASSIUM, "3.0", "L"))) == [("potassium:out_of_range", "below", "results[0]")]
    assert marks(high, source(2, measured(POTASSIUM, "5.8", "A"))) == []


@pytest.mark.parametrize(
    ("number", "flag", "text", "expected"),
    [
        ("5.9", "H", None, "above"),
        ("5.9", "h", "3.5-6.5", "above"),  # the source's own word counts
        ("5.9", "N", "3.5-5.1", "within"),
        ("5.9", None, "3.5-5.1", "above"),
        ("5.9", "S", "3.5 - 5.1 mmol/L", "above"),
        ("3.4", None, "3.5-5.1", "below"),
        ("3.5", None, "3.5–5.1", "within"),
        ("3.50", None, "3.5 to 5.1", "within"),
        ("5.0", None, "<5", "above"),
        ("5.0", None, "<=5.00", "within"),
        ("59", None, ">60", "below"),
        ("60", None, ">= 60", "within"),
        ("-1", None, "-2--0.5", "within"),
        ("5.9", None, "3.5-5.1 mg/dL", None),
        ("5.9", None, "M 3-5; F 4-6", None),
        ("5.9", None, "3-5; F 4-6", None),
        ("5.9", None, "5.1-3.5", None),
        ("5.9", None, "See below", None),
        ("5.9", None, None, None),
        (None, "LL", None, "critically_below"),
        (None, None, "3.5-5.1", None),
    ],
)
def test_the_flag_decides_and_else_the_range(number: str | None, flag: str | None, text: str | None, expected: str | None) -> None:
    assert side_of(measured(POTASSIUM, number, flag, reference_range=text)) == expected


@pytest.mark.parametrize("number", ["", "abc", "NaN", "Infinity", "1e99999", "9" * 60])
def test_what_is_no_sound_number_is_not_compared(number: str) -> None:
    assert decimal_of(Value("quantity", number=number)) is None


def test_a_limit_is_not_compared() -> None:
    assert decimal_of(Value("quantity", number="15", comparator="<")) is None


def test_weight_speaks_when_a_twentieth_has_come_together() -> None:
    weights = [source(day, measured(WEIGHT, kilos, unit="kg")) for day, kilos in enumerate(["80.0", "78.5", "76.0", "76.5"], 1)]

    assert [marks(*weights[: count + 1]) for count in range(4)] == [[], [], [("weight:changed", "fell", "results[0]")], []]


def test_other_units_are_not_compared_and_units_come_back() -> None:
    kilos, pounds = source(1, measured(WEIGHT, "80", unit="kg")), source(2, measured(WEIGHT, "176", unit="[lb_av]"))

    assert marks(kilos, pounds) == [("weight:not_compared", "unit_differs", "results[0]")]
    assert marks(kilos, pounds, source(3, measured(WEIGHT, "70", unit="kg"))) == [("weight:changed", "fell", "results[0]")]
    assert marks(kilos, source(2, measured(WEIGHT, "70", unit=None))) == []


def test_a_weight_given_in_two_units_speaks_once() -> None:
    def both(day: int, kilos: str, pounds: str) -> Statement:
        return source(day, measured(WEIGHT, pounds, unit="[lb_av]"), measured(WEIGHT, kilos, unit="kg"))

    assert marks(both(1, "80", "176"), both(2, "70", "154")) == [("weight:changed", "fell", "results[0]")]


def test_the_newest_result_of_a_document_counts() -> None:
    old, new = measured(POTASSIUM, "5.9", "H", effective="2026-11-01"), measured(POTASSIUM, "4.4", "N", effective="2026-11-02T08:00")

    assert marks(source(3, new, old)) == []


def test_an_older_result_brought_again_is_no_news() -> None:
    newest = source(2, measured(POTASSIUM, "4.4", "N", effective="2026-11-02"))
    summary_of_stay = source(5, measured(POTASSIUM, "5.9", "H", effective="2026-10-20"))

    assert marks(newest, summary_of_stay) == []


def test_cancelled_results_do_not_speak() -> None:
    assert marks(source(1, measured(POTASSIUM, "5.9", "H", status="cancelled"))) == []


def test_a_result_is_known_by_any_loinc_code_and_by_name_only_without_one() -> None:
    urine = Coding(LOINC, "2828-2", "eGFR")  # a code of something else goes before the name

    assert result_rule(Coding("L", "K", "K", [Coding(LOINC, POTASSIUM)])) is RULES["potassium"]
    assert result_rule(Coding("L", "GFR", "eGFR")) is RULES["egfr"]
    assert result_rule(urine) is None
    assert result_rule(Coding("L", "K", "Potassium")) is None  # of blood or of urine
    assert result_rule(None) is None


def test_marks_hold_codes_and_paths_only() -> None:
    changed = trail([source(1, measured(POTASSIUM, "5.9", "H"), dietary_preferences=[preference()], medical_history=[drug("warfarin")])])

    said = repr([mark for found in changed.values() for mark, _ in found])

    assert not [word for word in ("Peanut", "762952008", "5.9", "warfarin'") if word in said.replace("rule='warfarin'", "")]


STATEMENT = st.builds(
    lambda day, number, flag, status, kilos, kind: source(
        day,
        measured(POTASSIUM, number, flag),
        measured(WEIGHT, kilos, unit="kg"),
        dietary_preferences=[preference(status=status)],
        status=kind,
    ),
    st.integers(1, 28),
    st.sampled_from(["3.1", "4.4", "5.9"]),
    st.sampled_from(["L", "N", "H", None]),
    st.sampled_from(["active", "resolved", None]),
    st.sampled_from(["70", "74", "80"]),
    st.sampled_from(["current", "current", "withdrawn"]),
)


@given(st.lists(STATEMENT, max_size=4, unique_by=lambda one: one.source_key))
def test_any_order_and_any_repetition_gives_the_same_marks(sources: list[Statement]) -> None:
    assert len({repr(sorted(trail(order).items())) for order in permutations(sources)} | {repr(sorted(trail(sources).items()))}) == 1


@given(st.text(string.printable, max_size=12), st.text(string.printable, max_size=12), st.text(string.printable, max_size=12))
def test_nothing_that_a_source_writes_raises(number: str, flag: str, text: str) -> None:
    one = measured(WEIGHT, number or "1", flag, unit=text, reference_range=text, effective=number)

    trail([source(1, one), source(2, replace(one, value=Value("quantity", number=text, unit=text)), medical_history=[drug(text)])])


def test_the_summary_tells_the_newest_change_of_each_thing_newest_first() -> None:
    sources = [
        source(1, measured(POTASSIUM, "5.9", "H"), dietary_preferences=[preference()]),
        source(2, medical_history=[drug("Warfarin 5 mg")]),
        source(3, measured(POTASSIUM, "4.4", "N")),
    ]

    told = [(one.name, one.change, one.said, one.source_document_id) for one in summary(trail(sources))]

    assert told == [
        ("Potassium", "back_in_range", "4.4 mmol/L", "document-03"),
        ("Warfarin or a relative", "appeared", "Warfarin 5 mg", "document-02"),
        ("Food allergy", "appeared", "Peanut", "document-01"),
    ]


def test_the_summary_stays_short() -> None:
    foods = [preference(Coding("L", str(number), f"Food {number}")) for number in range(MOST + 5)]

    assert len(summary(trail([source(1, dietary_preferences=foods)]))) == MOST


def test_every_rule_is_complete() -> None:
    for rule in RULES.values():
        assert rule.why.endswith("."), rule.id
        assert rule.source.startswith("https://"), rule.id
        assert rule.fires, rule.id
        assert rule.kinds or rule.codes or rule.words, rule.id
        assert ("changed" in rule.fires) == (rule.ratio is not None), rule.id
        assert rule.ratio is None or Decimal(0) < rule.ratio < 1, rule.id
        assert all(word == word.lower() for phrase in rule.words for word in phrase), rule.id


def test_no_loinc_code_and_no_word_belongs_to_two_measures() -> None:
    codes = [code for rule in RULES.values() for code in rule.codes]

    assert len(codes) == len(set(codes))


def test_a_message_without_a_document_speaks_too() -> None:
    said = statement("message|1", "2026||1", PatientReading(PATIENT, dietary_preferences=[preference()]))

    ((mark, _),) = trail([said])["message|1"]

    assert (mark.code, mark.document_id) == ("food_allergy:appeared", None)
