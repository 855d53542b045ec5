"""What a platform shows of a document."""

import pytest

from services.carepatron_writer.rendering import Rendered, choose_file, dietary_lines, is_readable, platform_version, render_text, upload_of
from shared.canonical.elements import Attachment, Coding, Relation, Result, Section, Source, Value
from shared.canonical.models import HealthcareDocument
from tests.contract.writing_fakes import CAPABILITIES, NEWER, VERSION, a_document, a_key

PDF = Attachment("application/pdf", 4, "a" * 64, "Scan")
TIFF = Attachment("image/tiff", 4, "b" * 64)
LDL = Result(Coding("http://loinc.org", "2089-1", "LDL"), Value("quantity", "4.90", None, "mmol/L"), "0-3", "H", "final")


def _chosen(**said: object) -> Attachment | None:
    return choose_file(a_document(a_key(), **said), CAPABILITIES.media_types)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "chosen"),
    [
        ({"attachments": [PDF]}, PDF),
        ({"attachments": [PDF], "results": [LDL]}, None),
        ({"attachments": [PDF, PDF]}, None),
        ({"attachments": [TIFF]}, None),
        ({"attachments": []}, None),
        ({"attachments": [TIFF, PDF], "text": None}, PDF),
        ({"attachments": [Attachment("Application/PDF; charset=x", 4, "a" * 64)]}, Attachment("Application/PDF; charset=x", 4, "a" * 64)),
        ({"attachments": [Attachment("application/pdf", 4, None)]}, None),
    ],
)
def test_the_only_file_goes_as_it_is(said: dict[str, object], chosen: Attachment | None) -> None:
    assert chosen == _chosen(**said)


def test_everything_that_the_document_says_is_in_the_text_once() -> None:
    document = a_document(
        a_key(),
        text="Glucose control is good.\nNote by the lab",
        sections=[Section("48765-2", "Allergies", "No known food allergies"), Section("8716-3", "Vitals", "Glucose control is good.")],
        results=[LDL],
        attachments=[PDF, TIFF],
        authors=["Dr A. Khan"],
        source=Source(organization="Harbour GP"),
        date="2026-11",
    )
    text = render_text(document).decode()

    for said in (
        "Lipid panel\nLab report | 2026-11 | current",
        "Author: Dr A. Khan",
        "From: Harbour GP",
        "- No known food allergies",
        "- LDL 4.90 mmol/L H",
        "LDL: 4.90 mmol/L H (range 0-3)",
        "Note by the lab",
        "Scan (application/pdf, 4 bytes)",
    ):
        assert said in text
    assert text.index("No known food allergies") < text.index("LDL:")
    assert render_text(document) == render_text(document)


def test_text_that_sections_say_already_is_not_repeated() -> None:
    text = render_text(a_document(a_key(), text="Eat  more\nfibre", sections=[Section(None, "Advice", "Eat more fibre")])).decode()

    assert text.casefold().count("fibre") == 1


def test_control_characters_stay_out() -> None:
    document = a_document(a_key(), title="A\x00\x1bB\nC", text="x\x00y\r\nz\u2028")
    upload = upload_of(document, VERSION, Rendered(render_text(document), "text/plain"))

    assert upload.title == "AB C"
    assert b"xy\nz" in upload.content
    assert not {0, 27} & set(upload.content)


def test_the_source_stands_in_the_facts() -> None:
    document = a_document(
        a_key(),
        type_coding=Coding("http://loinc.org", "11502-2", "Laboratory report", [Coding("L", "1")]),
        relations=[Relation("appends", "a"), Relation("replaces", "b")],
        source=Source("provider", "Harbour GP", "urn:oid:1.2.3"),
    )
    upload = upload_of(document, VERSION, Rendered(b"%PDF", "application/pdf"))

    assert upload.type_coding == {"system": "http://loinc.org", "code": "11502-2", "display": "Laboratory report"}
    assert upload.source == {"kind": "primary_healthcare_provider", "organization": "Harbour GP", "system": "urn:oid:1.2.3"}
    assert (upload.supersedes, upload.media_type, upload.content) == ("b", "application/pdf", b"%PDF")


def test_the_way_of_rendering_never_turns_versions_around() -> None:
    versions = [VERSION, f"{VERSION}:00000000000000000007", NEWER]

    assert versions == sorted(versions)
    assert sorted(map(platform_version, versions)) == [platform_version(one) for one in versions]


def test_only_dietary_sections_are_summarised() -> None:
    document = a_document(a_key(), sections=[Section(None, "Diet plan", "Low sodium\n\nNo grapefruit"), Section(None, "Plan", "Rest")])

    assert dietary_lines(document) == ("Low sodium", "No grapefruit")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (a_document(a_key(), text=" \n"), False),
        (a_document(a_key(), text=None, sections=[Section(None, "T", " ")]), False),
        (a_document(a_key(), text=None, results=[LDL]), True),
        (a_document(a_key()), True),
    ],
)
def test_readable_means_more_than_a_title(document: HealthcareDocument, expected: bool) -> None:
    assert expected is is_readable(document)
