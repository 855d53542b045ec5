"""The C-CDA reader: what the golden cases leave open, and what it must never do."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from services.normalizer.readers.ccda import read_ccda
from services.normalizer.readers.ccda_narrative import render
from shared.canonical.reading import ProviderProfile, Reading
from shared.formats.cda import light_identity
from shared.formats.recognise import recognise
from shared.outcomes import Reason

PROVIDER = ProviderProfile("clinic-a", time_zone="Europe/Zurich", organization="Invented Clinic")
GOLDEN = Path(__file__).parents[2] / "golden" / "ccda"
SAMPLES = Path(os.environ.get("HEALTHCARE_RECORDS_SAMPLES", "../shared/samples"))
PROBLEM = "2.16.840.1.113883.10.20.22.4.4"
ALLERGY = "2.16.840.1.113883.10.20.22.4.7"
MARK = "SYNTHETIC-MARK"


def document(body: str = "", header: str = "") -> bytes:
    """A ClinicalDocument with a header and a structured body."""
    return (
        '<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        '<id root="1.2" extension="a"/><effectiveTime value="20240301"/>'
        f"{header}<component><structuredBody>{body}</structuredBody></component></ClinicalDocument>"
    ).encode()


def section(inner: str, code: str = "48765-2", attributes: str = "") -> str:
    """A section around `inner`."""
    return f'<component><section{attributes}><code code="{code}"/><title>T</title>{inner}</section></component>'


def problem(value: str, attributes: str = "") -> str:
    """An entry with one problem observation."""
    return f'<entry><observation moodCode="EVN"{attributes}><templateId root="{PROBLEM}"/>{value}</observation></entry>'


def narrative(inner: str) -> str | None:
    """What a section text renders to."""
    return render(etree.fromstring(f'<text xmlns="urn:hl7-org:v3">{inner}</text>'))


def facts(reading: Reading) -> list[object]:
    """All history and diet of a reading."""
    return [fact for one in reading.patients for fact in (*one.medical_history, *one.dietary_preferences)]


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*/input.xml")), ids=lambda one: one.parent.name)
def test_the_light_look_agrees_with_the_reader(path: Path) -> None:
    content = path.read_bytes()
    reading = read_ccda(content, PROVIDER)
    look = light_identity(content, PROVIDER)

    for one in reading.documents:
        assert (one.document_id, one.patient_key, one.source_version) == (look.document_id, look.patient_key, look.source_version)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*/input.xml")), ids=lambda one: one.parent.name)
def test_every_document_that_is_read_is_exactly_one(path: Path) -> None:
    reading = read_ccda(path.read_bytes(), PROVIDER)

    assert len(reading.documents) == (1 if reading.outcome == "normalized" else 0)
    assert set(reading.files) == {one.sha256 for each in reading.documents for one in each.content.attachments if one.sha256}


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("No known\n   allergies", "No known allergies"),
        ("A<br/>B", "A\nB"),
        ("<paragraph>A <content>b</content>c</paragraph>tail", "A bc\ntail"),
        ("<list><caption>C</caption><item>A</item><item>B<list><item>x</item></list></item></list>", "C\n- A\n- B\n  - x"),
        ("<table><tr><td>A</td><td/><td>C</td></tr><tr><td/><td/></tr></table>", "A |  | C"),
        ("<table><tr><td>A<br/>B</td><td><paragraph>C</paragraph><paragraph>D</paragraph></td></tr></table>", "A; B | C; D"),
        ('A<content revised="delete">gone</content>B', "AB"),
        ('<paragraph revised="delete">gone</paragraph>', None),
        ("<script>alert(1)</script><content onload='x'>safe</content>", "safe"),
        ("<content>A<paragraph>B</paragraph>C</content>D", "A\nB\nCD"),
        ("<content>Salt:</content> low", "Salt: low"),
        (
            '<table><tr><td rowspan="2">A</td><td>B</td><td rowspan="3">C</td></tr><tr><td>D</td></tr><tr><td>E</td><td>F</td></tr></table>',
            "A | B | C\n | D\nE | F",
        ),
        ('<table><tr><td rowspan="99999999999">A</td><td rowspan="x">B</td></tr><tr><td>C</td></tr></table>', "A | B\nC"),
        ("<pre>a  b\n  c</pre>", "a  b\n  c"),
        ('<renderMultiMedia referencedObject="x"><caption>Scan</caption></renderMultiMedia>', "Scan"),
        ('<table xmlns="http://www.w3.org/1999/xhtml"><tr><td>A</td><td>B</td></tr></table>', "A | B"),
        ("", None),
    ],
)
def test_narrative_is_readable(inner: str, expected: str | None) -> None:
    assert expected == narrative(inner)


def test_inline_space_survives_around_nested_runs() -> None:
    assert narrative("a <content>b <content>c</content></content> d") == "a b c d"
    assert narrative("a<content> <content>b</content> </content>c") == "a b c"


@pytest.mark.parametrize(
    ("attribute", "negated"), [("", False), (' negationInd="true"', True), (' negationInd="false"', False), (' negationInd="1"', True)]
)
def test_a_negated_problem_stays_negated(attribute: str, negated: bool) -> None:
    reading = read_ccda(document(section(problem('<value xsi:type="CD" code="1"/>', attribute), "11450-4")), PROVIDER)

    assert [negated] == [one.negated for one in reading.patients[0].medical_history]


def test_a_negated_concern_negates_what_it_holds() -> None:
    inner = problem('<value xsi:type="CD" code="1"/>').removeprefix("<entry>").removesuffix("</entry>")
    entry = f'<entry><act negationInd="true"><entryRelationship>{inner}</entryRelationship></act></entry>'
    reading = read_ccda(document(section(entry, "11450-4")), PROVIDER)

    assert [one.negated for one in reading.patients[0].medical_history] == [True]


def bare(title: str, inner: str, templates: str = "") -> bytes:
    """A document with a section that has no code, and one entry in it."""
    return document(f"<component><section>{templates}<title>{title}</title><entry>{inner}</entry></section></component>")


WEIGHT = '<observation moodCode="EVN"><code code="3141-9"/><value xsi:type="PQ" value="80" unit="kg"/></observation>'


@pytest.mark.parametrize(
    ("title", "templates", "count"),
    [
        ("Vital Signs:", "", 1),
        ("VITALS", "", 1),
        ("Wichtiges", '<templateId root="2.16.840.1.113883.10.20.1.16"/>', 1),
        ("Vital Signs", '<templateId root="2.16.840.1.113883.10.20.1.10"/>', 0),
        ("Something about vital signs", "", 0),
    ],
)
def test_a_section_without_a_code_is_known_by_its_template_or_its_title(title: str, templates: str, count: int) -> None:
    reading = read_ccda(bare(title, WEIGHT, templates), PROVIDER)

    assert count == len(reading.documents[0].content.results)


def test_a_section_inside_another_holds_the_same_kind_of_entries() -> None:
    inner = f"<component><section><title>At home</title><entry>{WEIGHT}</entry></section></component>"
    coded = inner.replace("<title>", '<code code="10164-2"/><title>')

    assert len(read_ccda(document(section(inner, "8716-3")), PROVIDER).documents[0].content.results) == 1
    assert read_ccda(document(section(coded, "8716-3")), PROVIDER).documents[0].content.results == []


def test_who_told_of_an_allergy_is_no_allergen() -> None:
    people = '<participant typeCode="INF"><participantRole><playingEntity><name>Invented Aunt</name></playingEntity></participantRole></participant>'
    allergen = (
        '<participant typeCode="CSM"><participantRole><playingEntity><name>Egg</name></playingEntity></participantRole></participant>'
    )
    entry = f'<entry><observation moodCode="EVN"><value xsi:type="CD" code="414285001"/>{people}{allergen}</observation></entry>'
    reading = read_ccda(document(section(entry)), PROVIDER)

    assert [one.text for one in reading.patients[0].dietary_preferences] == ["Egg"]


@pytest.mark.parametrize("code", ["33999-4", "11323-3", "48766-0", "445518008"])
def test_a_detail_is_no_problem_of_its_own(code: str) -> None:
    detail = f'<observation moodCode="EVN"><code code="{code}"/><value xsi:type="CD" code="55561003" displayName="Active"/></observation>'
    entry = f'<entry><act><entryRelationship typeCode="REFR">{detail}</entryRelationship></act></entry>'

    assert facts(read_ccda(document(section(entry, "11450-4")), PROVIDER)) == []


@pytest.mark.parametrize("words", ["NKDA", "No known allergies.", "no  known food allergies", "None"])
def test_an_allergen_that_says_none_is_a_negation(words: str) -> None:
    allergen = f"<participant><participantRole><playingEntity><name>{words}</name></playingEntity></participantRole></participant>"
    entry = f'<entry><observation moodCode="EVN"><value xsi:type="CD" code="419199007"/>{allergen}</observation></entry>'
    reading = read_ccda(document(section(entry)), PROVIDER)

    assert [one.negated for one in reading.patients[0].medical_history] == [True]
    assert all(one.negated for one in reading.patients[0].dietary_preferences)


def test_the_subject_of_a_statement_is_whose_it_is() -> None:
    subject = '<subject><relatedSubject><code code="MTH" displayName="Mother"/></relatedSubject></subject>'
    entry = problem(f'{subject}<value xsi:type="CD" code="44054006" displayName="Diabetes"/>')
    reading = read_ccda(document(section(entry, "11450-4")), PROVIDER)

    assert [(one.kind, one.text) for one in reading.patients[0].medical_history] == [("family", "Mother: Diabetes")]


@pytest.mark.parametrize(
    ("code", "template", "title", "expected"),
    [
        ("34133-9", "22.1.8", "Summary", "discharge_summary"),
        ("34133-9", "22.1.2", "Discharge summary", "care_summary"),
        ("11506-3", "22.1.8", "Summary", "progress_note"),
        ("00000-0", "22.1.14", "Summary", "referral_note"),
        ("00000-0", "22.1.2", "Discharge summary", "discharge_summary"),
        ("", "22.1.4", "Letter", "consult_note"),
    ],
)
def test_a_narrower_template_goes_before_the_generic_code_and_an_unknown_one(code: str, template: str, title: str, expected: str) -> None:
    header = f'<templateId root="2.16.840.1.113883.10.20.{template}"/><code code="{code}" codeSystem="2.16.840.1.113883.6.1"/>'
    reading = read_ccda(document("", f"{header}<title>{title}</title>"), PROVIDER)

    assert expected == reading.documents[0].type


def test_a_narrower_translation_goes_before_the_generic_code() -> None:
    loinc = 'codeSystem="2.16.840.1.113883.6.1"'
    header = f'<code code="34133-9" {loinc}><translation code="28570-0" {loinc}/></code>'
    reading = read_ccda(document("", header), PROVIDER)

    assert reading.documents[0].type == "procedure_note"
    assert reading.documents[0].type_coding is not None
    assert reading.documents[0].type_coding.code == "34133-9"


def test_text_in_mark_up_is_read_without_it() -> None:
    value = '<value xsi:type="ED" mediaType="text/rtf">{\\rtf1 Low {\\b salt}}</value>'
    entry = f'<entry><observation moodCode="EVN"><code code="1-8"/>{value}</observation></entry>'
    reading = read_ccda(document(section(entry, "30954-2")), PROVIDER)

    assert [one.value.text for one in reading.documents[0].content.results] == ["Low salt"]


def test_a_supply_is_a_medication_only_where_it_stands_alone_with_its_product() -> None:
    product = '<product><manufacturedProduct><manufacturedMaterial><code code="1" displayName="Tablets"/></manufacturedMaterial></manufacturedProduct></product>'
    alone = f'<entry><supply moodCode="EVN">{product}</supply></entry><entry><supply moodCode="EVN"><text>thirty</text></supply></entry>'
    beneath = f'<entry><substanceAdministration moodCode="EVN"><entryRelationship><supply moodCode="INT">{product}</supply></entryRelationship></substanceAdministration></entry>'

    for entry, expected in ((alone, ["Tablets"]), (beneath, [])):
        reading = read_ccda(document(section(entry, "10160-0")), PROVIDER)

        assert expected == [one.text for each in reading.patients for one in each.medical_history]


@pytest.mark.parametrize("mood", ["INT", "RQO", "GOL", "PRMS", "PRP"])
def test_what_is_intended_is_no_fact(mood: str) -> None:
    entry = problem('<value xsi:type="CD" code="1"/>').replace("EVN", mood)

    assert facts(read_ccda(document(section(entry, "11450-4")), PROVIDER)) == []


def test_several_allergens_are_several_allergies() -> None:
    allergen = (
        '<participant><participantRole><playingEntity><code code="{0}" displayName="{0}"/></playingEntity></participantRole></participant>'
    )
    inner = f'<templateId root="{ALLERGY}"/><value xsi:type="CD" code="414285001"/>{allergen.format("A")}{allergen.format("B")}'
    reading = read_ccda(document(section(f'<entry><observation moodCode="EVN">{inner}</observation></entry>')), PROVIDER)

    assert [one.text for one in reading.patients[0].dietary_preferences] == ["A", "B"]


def test_free_text_never_becomes_an_allergy() -> None:
    reading = read_ccda(document(section("<text>Severe peanut allergy</text>")), PROVIDER)

    assert facts(reading) == []
    assert reading.documents[0].content.text == "T\nSevere peanut allergy"


def test_a_reference_that_leads_nowhere_invents_nothing() -> None:
    entry = problem('<value xsi:type="CD" nullFlavor="UNK"><originalText><reference value="#none"/></originalText></value>')

    assert facts(read_ccda(document(section(entry, "11450-4")), PROVIDER)) == []


def test_the_same_statement_twice_is_one() -> None:
    entry = problem('<value xsi:type="CD" code="1" displayName="Gout"/>')

    assert len(facts(read_ccda(document(section(entry * 3, "11450-4") * 2), PROVIDER))) == 1


def test_entries_that_repeat_the_narrative_without_end_stop() -> None:
    text = f'<text><paragraph ID="a">{"word " * 20_000}</paragraph></text>'
    entry = problem('<value xsi:type="CD" code="{}"><originalText><reference value="#a"/></originalText></value>')
    reading = read_ccda(document(section(text + "".join(entry.format(one) for one in range(2_000)), "11450-4")), PROVIDER)

    assert sum(len(one.text or "") for one in reading.patients[0].medical_history) < 6_000_000


def test_reading_is_deterministic() -> None:
    content = (GOLDEN / "history" / "input.xml").read_bytes()

    assert read_ccda(content, PROVIDER) == read_ccda(content, PROVIDER)


@pytest.mark.parametrize(
    ("content", "reason", "where"),
    [
        (b"<!DOCTYPE a><ClinicalDocument/>", Reason.HOSTILE_XML, "DOCTYPE"),
        (b"<ClinicalDocument>\n<a></ClinicalDocument>", Reason.MALFORMED_XML, "line 2"),
        (b"<section>" * 300_000, Reason.TOO_DEEP, "line 1"),
        (b"<catalog/>", Reason.UNSUPPORTED_CONTENT, "/"),
    ],
)
def test_what_cannot_be_read_is_rejected_with_a_place(content: bytes, reason: Reason, where: str) -> None:
    reading = read_ccda(content, PROVIDER)

    assert ("rejected", reason, where) == (reading.outcome, reading.reason, reading.where)


def test_warnings_carry_no_content() -> None:
    header = f'<versionNumber value="{MARK}"/><recordTarget><patientRole><id root="{MARK}"/><patient><name><given>null</given><family>{MARK}</family></name><birthTime value="{MARK}"/></patient></patientRole></recordTarget>'
    value = f'<value xsi:type="PQ" value="{MARK}"/><value xsi:type="{MARK}">{MARK}</value>'
    body = section(
        f'<entry><observation moodCode="EVN"><code code="{MARK}"/><effectiveTime value="{MARK}"/>{value}</observation></entry>', "30954-2"
    )
    reading = read_ccda(document(body, header), PROVIDER)

    assert len(reading.warnings) >= 4
    assert not [one for one in reading.warnings if MARK in f"{one.code}{one.where}"]


ELEMENTS = (
    "component",
    "section",
    "entry",
    "entryRelationship",
    "act",
    "organizer",
    "observation",
    "code",
    "value",
    "text",
    "title",
    "participant",
)
ELEMENTS += (
    "participantRole",
    "playingEntity",
    "effectiveTime",
    "low",
    "high",
    "recordTarget",
    "patientRole",
    "patient",
    "name",
    "given",
    "addr",
)
ELEMENTS += (
    "telecom",
    "id",
    "statusCode",
    "substanceAdministration",
    "templateId",
    "referenceRange",
    "observationRange",
    "relatedDocument",
    "table",
    "tr",
    "td",
)
ATTRIBUTES = {
    "code": ["48765-2", "30954-2", "61144-2", "33999-4", "82606-5", "SEV", "", "414285001", "ASSERTION"],
    "value": ["1", "2024", "x", "", "tel:", "mailto:", "#a"],
    "root": ["1.2", PROBLEM, ALLERGY, "", "2.16.840.1.113883.10.20.22.4.138"],
    "typeCode": ["MFST", "RPLC", "APND"],
    "negationInd": ["true", "?"],
    "ID": ["a", ""],
    "nullFlavor": ["NI"],
    "representation": ["B64"],
    "moodCode": ["EVN", "INT"],
    "use": ["L", "HP MC", ""],
}


@st.composite
def trees(draw: st.DrawFn, depth: int = 4) -> str:
    """Any nesting of CDA elements with any of these attributes."""
    name = draw(st.sampled_from(ELEMENTS))
    chosen = draw(st.lists(st.sampled_from(sorted(ATTRIBUTES)), max_size=4, unique=True))
    attributes = "".join(f' {one}="{draw(st.sampled_from(ATTRIBUTES[one]))}"' for one in chosen)
    kind = draw(
        st.sampled_from(
            ["", ' xsi:type="PQ"', ' xsi:type="IVL_PQ"', ' xsi:type="CD"', ' xsi:type="RTO"', ' xsi:type="TS"', ' xsi:type="ED"']
        )
    )
    inner = draw(st.lists(trees(depth - 1), max_size=4)) if depth else []
    return f"<{name}{attributes}{kind}>{draw(st.sampled_from(['', 'text', ' ']))}{''.join(inner)}</{name}>"


@settings(max_examples=60, deadline=None)
@given(st.lists(trees(), max_size=3))
def test_no_tree_breaks_the_reader(inner: list[str]) -> None:
    body = "".join(inner)
    for content in (document(body), document(section(body)), document("", body), body.encode()):
        reading = read_ccda(content, PROVIDER)

        assert reading.outcome in ("normalized", "rejected")


@settings(max_examples=100)
@given(st.binary(max_size=200), st.integers(0, 2000))
def test_no_damage_breaks_the_reader(noise: bytes, place: int) -> None:
    content = (GOLDEN / "result-values" / "input.xml").read_bytes()

    read_ccda(content[:place] + noise + content[place + len(noise) :], PROVIDER)


def test_samples_are_read() -> None:
    paths = sorted(one for one in (SAMPLES / "ccda").rglob("*") if one.is_file())
    if not paths:
        pytest.skip("samples folder absent: set HEALTHCARE_RECORDS_SAMPLES")
    for path in paths:
        content = path.read_bytes()
        reading = read_ccda(content, PROVIDER)
        look = light_identity(content, PROVIDER)

        assert (path.name, "ccda", "normalized") == (path.name, recognise(content), reading.outcome)
        assert [(look.document_id, look.patient_key)] == [(one.document_id, one.patient_key) for one in reading.documents]


def test_samples_keep_their_negations() -> None:
    folder = SAMPLES / "ccda" / "c-cda-examples"
    if not folder.is_dir():
        pytest.skip("samples folder absent: set HEALTHCARE_RECORDS_SAMPLES")
    denied = [read_ccda(one.read_bytes(), PROVIDER) for one in (*folder.glob("No_Known_*"), *folder.glob("Not_Allergic_*"))]
    egg = read_ccda(next(folder.glob("Allergy_to_food_egg*")).read_bytes(), PROVIDER)

    assert denied
    assert all(one.negated for each in denied for one in each.patients[0].dietary_preferences)
    assert [(one.kind, one.code.code, one.negated) for one in egg.patients[0].dietary_preferences if one.code] == [
        ("allergy", "102263004", False)
    ]
