"""Which type a document has: codes before words, words as whole words, in the languages that senders write."""

import pytest

from services.normalizer.document_types import OTHER, classify_document
from services.normalizer.mappings.tables import load_table
from shared.canonical.elements import Coding
from shared.canonical.models import DocumentType

TITLES = {
    "Discharge Summary": "discharge_summary",
    "NUTRITIONAL ASSESSMENT": "nutrition_note",
    "Malnutrition Screening": "nutrition_note",
    "Post-operative note": "operative_note",
    "X-RAY CHEST 2 VIEWS": "imaging_report",
    "H&P": "physical_assessment",
    "Echo-Cardiogram": "cardiology_report",
    "Cytopathology": "pathology_report",
    "ED Provider Notes": "emergency_note",
    # German
    "Vorläufiger Krankenhaus-Entlassungsbrief": "discharge_summary",
    "Krankenhausentlassungsbrief": "discharge_summary",
    "Spitalaustrittsbericht": "discharge_summary",
    "Facharztbrief Innere Medizin": "consult_note",
    "ARZTBRIEF": "consult_note",
    "Laborbefund vom 3.5.": "lab_report",
    "Kumulativ-Labor-Befund": "lab_report",
    "Ernährungsberatung: Abschluss": "nutrition_note",
    "Diätberatung": "nutrition_note",
    "Überweisungsschein": "referral_note",
    "Röntgen Thorax": "imaging_report",
    "Operationsbericht": "operative_note",
    "Medikationsplan": "medication_list",
    "Impfausweis": "immunization_record",
    # French
    "Lettre de sortie": "discharge_summary",
    "Compte-rendu d’hospitalisation": "discharge_summary",
    "COMPTE RENDU DE CONSULTATION": "consult_note",
    "Compte rendu d'analyses médicales": "lab_report",
    "Compte rendu de laboratoire": "lab_report",
    "Ordonnance": "medication_list",
    "Consultation diététique": "nutrition_note",
    "Échographie abdominale": "imaging_report",
    "Compte rendu opératoire": "operative_note",
    # Italian
    "Lettera di Dimissione Ospedaliera": "discharge_summary",
    "Referto di laboratorio": "lab_report",
    "Referto radiologico": "imaging_report",
    "Verbale di Pronto Soccorso": "emergency_note",
    # Spanish
    "INFORME DE ALTA": "discharge_summary",
    "Informe de Nutrición": "nutrition_note",
    "Informe de urgencias": "emergency_note",
    "Historia clínica": "physical_assessment",
    "Receta electrónica": "medication_list",
    # Dutch
    "Ontslagbrief": "discharge_summary",
    "Verwijsbrief huisarts": "referral_note",
    "Operatieverslag": "operative_note",
    "Diëtistenverslag": "nutrition_note",
}
UNTOLD = (
    "Befund",  # a report of no kind
    "Compte rendu",
    "Labor and delivery",
    "Estrogen receptor",
    "Inoperative",
    "Cooperative care",
    "Carte d'identité",
    "Chromatographie",
    "診療情報提供書",
    "",
)


@pytest.mark.parametrize("title", TITLES)
def test_title_words_tell_the_type(title: str) -> None:
    assert classify_document([], titles=(title,)) == TITLES[title]


@pytest.mark.parametrize("title", UNTOLD)
def test_parts_of_words_and_general_words_tell_nothing(title: str) -> None:
    assert classify_document([], titles=(title,)) == OTHER


def test_every_code_goes_before_the_title() -> None:
    title = ("Entlassungsbrief",)

    assert classify_document([Coding("http://loinc.org", "11502-2")], titles=title) == "lab_report"
    assert classify_document([], local_type="OP", titles=title) == "operative_note"
    assert classify_document([], diagnostic_service="RAD", titles=title) == "imaging_report"
    assert classify_document([Coding("urn:local", "11502-2")], titles=title) == "discharge_summary"


def test_the_first_title_that_says_a_type_counts() -> None:
    assert classify_document([], titles=(None, "Dokument 4711", "Laborbefund", "Ordonnance")) == "lab_report"


def test_every_row_means_a_type_of_the_model() -> None:
    tables = load_table("document_types")

    assert {found for table in tables.values() for found in table.values() if table is not tables["titles"]} <= set(DocumentType)
    assert set(tables["titles"]) == set(DocumentType)


def test_rows_are_written_as_titles_are_compared() -> None:
    rows = load_table("document_types")["title_words"]

    assert [word for word in rows if word.strip("*") != " ".join(word.strip("*").casefold().split()) or not word.isascii()] == []
