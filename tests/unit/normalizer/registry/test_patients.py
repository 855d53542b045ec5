"""A patient is a function of the set of statements: order and repetition do not matter, negations and withdrawals do."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from services.normalizer.registry.changes import Change, DocumentState, PatientState, apply_change, content_of
from services.normalizer.registry.keys import fold
from services.normalizer.registry.patients import Statement, is_other_person, merge, statement
from shared.canonical.elements import Coding, HumanName, OtherName, Result, Value
from tests.builders import DOCUMENT, PATIENT, a_document, a_patient, an_allergy

PEANUT, EGG = "762952008", "102263004"


def said(source: str, order: str, **facts: object) -> Statement:
    return statement(source, order, a_patient(**facts))


def test_the_newest_source_time_wins_element_by_element() -> None:
    older = said("d1", "2026", email="old@example.org", dietary_preferences=[an_allergy(PEANUT)])
    newer = said("d2", "2027", email="new@example.org", dietary_preferences=[an_allergy(EGG)])

    merged = merge(PATIENT, [newer, older])

    assert merged.email == "new@example.org"
    assert [(one.code.code, one.source_document_id) for one in merged.dietary_preferences if one.code] == [(EGG, "d2"), (PEANUT, "d1")]


def test_a_negation_that_is_newer_takes_the_place_of_the_allergy() -> None:
    allergic = said("d1", "2026", dietary_preferences=[an_allergy(PEANUT)])
    refuted = said("d2", "2027", dietary_preferences=[an_allergy(PEANUT, negated=True)])

    assert [one.negated for one in merge(PATIENT, [refuted, allergic]).dietary_preferences] == [True]


def test_a_withdrawn_document_takes_back_what_only_it_said() -> None:
    kept = said("d1", "2026")
    taken_back = statement("d2", "2027", a_patient(dietary_preferences=[an_allergy(EGG)]), is_withdrawn=True)

    assert merge(PATIENT, [kept, taken_back]).dietary_preferences == []


def test_another_name_and_another_birth_date_are_another_person() -> None:
    known = merge(PATIENT, [said("d1", "2026")])

    assert is_other_person(known, a_patient(name=HumanName(family="Else"), birth_date="1950-01-01"))
    assert not is_other_person(known, a_patient(name=HumanName(family="Else")))
    assert not is_other_person(known, a_patient(birth_date="1950-01-01"))
    assert not is_other_person(known, a_patient(name=HumanName(family="Else"), other_names=[OtherName("MÁRKER")], birth_date="1950-01-01"))
    assert not is_other_person(known, a_patient(name=HumanName(family="Else"), birth_date="1970-10"))


def test_names_are_compared_without_accents_case_and_punctuation() -> None:
    assert fold("O'Brién-  Æ") == fold("o brien Æ")


FACTS = st.fixed_dictionaries(
    {},
    optional={
        "email": st.sampled_from(["a@example.org", "b@example.org"]),
        "gender": st.sampled_from(["female", "male"]),
        "dietary_preferences": st.lists(st.builds(an_allergy, st.sampled_from([PEANUT, EGG]), negated=st.booleans()), max_size=2),
    },
)
STATEMENT = st.builds(
    lambda source, order, facts: said(source, order, **facts), st.sampled_from(["d1", "d2", "d3", "d4"]), st.sampled_from("1234"), FACTS
)


@given(st.lists(STATEMENT, max_size=4, unique_by=lambda one: one.source_key))
def test_any_order_of_statements_gives_the_same_patient(statements: list[Statement]) -> None:
    assert len({merge(PATIENT, order).model_dump_json() for order in permutations(statements)}) == 1


def change(
    version: int,
    *,
    offset: int,
    text: str,
    status: str = "current",
    allergy: str | None = None,
    source: str = DOCUMENT,
    flag: str | None = None,
) -> Change:
    document = a_document(f"oru:{version:020d}", text=text, status=status, document_id=source)
    document.content.results = [Result(Coding("http://loinc.org", "2823-3", None), Value("quantity", "4.4"), interpretation=flag)]
    reading = a_patient(dietary_preferences=[an_allergy(allergy)] if allergy else [])
    offered = content_of(
        document,
        document.model_dump_json().encode(),
        sha256=text,
        mapping=1,
        origin=f"document.received.v1/0/{offset}",
        order=f"2026|{version}|{text}",
    )
    return Change("provider", PATIENT, reading, f"message|{text}", f"2026||{text}", (offered,))


CHANGE = st.builds(
    change,
    st.integers(1, 3),
    offset=st.integers(0, 9),
    text=st.sampled_from(["a", "b", "c"]),
    status=st.sampled_from(["current", "withdrawn"]),
    allergy=st.sampled_from([PEANUT, EGG, None]),
    source=st.sampled_from([DOCUMENT, PATIENT]),
    flag=st.sampled_from(["H", "N", None]),
)


def content_key(one: Change) -> tuple[str, str]:
    return str(one.documents[0].document.id), one.documents[0].offered.content.sha256


@given(st.lists(CHANGE, min_size=1, max_size=4, unique_by=(content_key, lambda one: one.documents[0].offered.content.origin)))
def test_any_order_of_deliveries_ends_in_the_same_registry(changes: list[Change]) -> None:
    ends = set()
    for order in permutations(changes):
        patient, documents = PatientState(PATIENT, "provider"), dict[str, DocumentState]()
        for one in order:
            apply_change(one, patient, documents)
        ends.add((patient.snapshot, tuple(sorted((key, one.known, one.contents[one.known.shown].json) for key, one in documents.items()))))

    assert len(ends) == 1
