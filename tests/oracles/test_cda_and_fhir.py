"""lxml with XPath and plain JSON read the same documents and find the same patients, sections, results and allergies."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from services.normalizer.offline import normalize_bytes
from shared.canonical.reading import ProviderProfile, Reading
from tests.integration.samples.test_samples import samples

PROVIDER = ProviderProfile("oracle", time_zone="Europe/Zurich")
GOLDEN = Path(__file__).parents[1] / "golden"
V3 = {"v": "urn:hl7-org:v3"}


def paths(format: str) -> Iterator[Path]:
    """Golden inputs and samples of a format."""
    yield from sorted(GOLDEN.glob(f"{format}/*/input.*"))
    yield from (path for path in samples() if format in path.parts)


def words(nodes: list[Any]) -> str:
    """The text below some nodes, spaces folded."""
    return " ".join(" ".join("".join(one.itertext()) for one in nodes).split())


def cda_differences(root: Any, reading: Reading) -> Iterator[str]:
    """The places at which both disagree."""
    role = root.find("v:recordTarget/v:patientRole", V3)
    if role is not None and reading.patients:
        patient = reading.patients[0]
        extensions = {one.get("extension").strip() for one in role.findall("v:id", V3) if (one.get("extension") or "").strip()}
        if not extensions <= {one.value for one in patient.identifiers}:
            yield "patientRole/id"
        born = (role.find("v:patient/v:birthTime", V3).get("value") or "") if role.find("v:patient/v:birthTime", V3) is not None else ""
        if patient.birth_date and not born.startswith(patient.birth_date.replace("-", "")):
            yield "birthTime"
        families = [words([one]) for one in role.findall("v:patient/v:name/v:family", V3)]
        if patient.name and patient.name.family and not all(word in " ".join(families) for word in patient.name.family.split()):
            yield "family"
    document = reading.documents[0]
    titles = Counter(words([one]) for one in root.iterfind(".//v:section/v:title", V3) if words([one]))
    shown = Counter(" ".join((one.title or "").split()) for one in document.content.sections)
    if missed := titles - shown:
        yield f"section/title: {sum(missed.values())}"
    values = root.xpath(
        ".//v:organizer/v:component/v:observation[not(@negationInd='true') and not(ancestor::v:subject)]/v:value[@value and @unit]",
        namespaces=V3,
    )
    numbers = Counter(one.value.number for one in document.content.results if one.value.number)
    if missed := Counter((one.get("value") or "").strip() for one in values) - numbers:
        yield f"observation/value: {sorted(missed)[:3]}"


def test_cda_is_read_alike() -> None:
    otherwise: list[str] = []
    compared = 0
    for path in paths("ccda"):
        try:
            root = etree.fromstring(path.read_bytes(), etree.XMLParser(resolve_entities=False, no_network=True))
        except etree.XMLSyntaxError:
            continue  # a fragment, or broken on purpose
        (reading,) = normalize_bytes(path.read_bytes(), PROVIDER)
        if str(root.tag) != "{urn:hl7-org:v3}ClinicalDocument" or reading.outcome != "normalized":
            continue
        compared += 1
        otherwise += [f"{path.parent.name}/{path.name}: {place}" for place in cda_differences(root, reading)]

    assert compared > 40
    assert otherwise == []


def resources(tree: Any) -> Iterator[dict[str, Any]]:
    """The resources of a bundle, or the one that it is."""
    if tree.get("resourceType") != "Bundle":
        yield tree
        return
    for entry in tree.get("entry", []):
        if isinstance(entry.get("resource"), dict):
            yield from resources(entry["resource"])


def fhir_differences(tree: dict[str, Any], readings: list[Reading]) -> Iterator[str]:
    """The places at which both disagree."""
    patients = [one for reading in readings for one in reading.patients]
    documents = [one for reading in readings for one in reading.documents]
    found = [one for one in resources(tree) if isinstance(one, dict)]
    names = {
        one["family"]
        for each in found
        if each["resourceType"] == "Patient"
        for one in each.get("name", [])
        if isinstance(one.get("family"), str)
    }
    shown = {
        one
        for patient in patients
        for one in ([patient.name.family] if patient.name else []) + [other.family for other in patient.other_names]
    }
    if not names <= shown:
        yield "Patient.name.family"
    numbers = Counter(
        str(one["valueQuantity"]["value"])
        for one in found
        if one["resourceType"] == "Observation" and "value" in one.get("valueQuantity", {})
    )
    results = Counter(one.value.number for document in documents for one in document.content.results)
    if missed := numbers - results:
        yield f"Observation.valueQuantity: {sorted(missed)[:3]}"
    codes = {
        one["code"]
        for each in found
        if each["resourceType"] == "AllergyIntolerance"
        for one in each.get("code", {}).get("coding", [])[:1]
        if "code" in one
    }
    known = {one.code.code for patient in patients for one in patient.medical_history if one.kind == "allergy" and one.code}
    if codes - known - {"no-allergy-info"}:
        yield "AllergyIntolerance.code"


def test_fhir_is_read_alike() -> None:
    otherwise: list[str] = []
    compared = 0
    for path in paths("fhir"):
        if path.suffix != ".json":
            continue
        try:
            tree = json.loads(path.read_bytes(), parse_float=str, parse_int=str)
        except ValueError:
            continue  # ndjson, or broken on purpose
        readings = normalize_bytes(path.read_bytes(), PROVIDER)
        if path.parent.name == "document-bundle-of-two-people":
            continue  # what is said of the other person is left out on purpose
        if not isinstance(tree, dict) or "resourceType" not in tree or any(one.outcome != "normalized" for one in readings):
            continue
        compared += 1
        otherwise += [f"{path.parent.name}/{path.name}: {place}" for place in fhir_differences(tree, readings)]

    assert compared > 50
    assert otherwise == []


@pytest.mark.parametrize("broken", ["number", "title"])
def test_the_comparison_sees_what_is_missing(broken: str) -> None:
    path = next(GOLDEN.glob("ccda/results*/input.xml"), None) or next(
        path for path in sorted(GOLDEN.glob("ccda/*/input.xml")) if b"unit=" in path.read_bytes() and b"organizer" in path.read_bytes()
    )
    root = etree.fromstring(path.read_bytes())
    (reading,) = normalize_bytes(path.read_bytes(), PROVIDER)
    content = reading.documents[0].content
    if broken == "number":
        content.results.clear()
    else:
        content.sections.clear()

    assert list(cda_differences(root, reading))
