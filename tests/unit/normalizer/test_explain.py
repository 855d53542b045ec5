"""Explaining: asking the parts of a CDA gives the same as asking the whole for every element."""

from pathlib import Path

import pytest

from services.normalizer.explain.cda_parts import cda_effects
from services.normalizer.explain.sources import asking, count_elements, effects, sources_of
from shared.canonical.reading import ProviderProfile

GOLDEN = Path(__file__).parents[2] / "golden"
INPUTS = sorted((GOLDEN / "ccda").glob("*/input.xml"))
PROVIDER = ProviderProfile("golden", time_zone="Europe/Zurich")
HEAD = (
    '<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><id root="2.999.1" extension="D1"/>'
    '<code code="34133-9" codeSystem="2.16.840.1.113883.6.1"/><effectiveTime value="20240305"/><recordTarget><patientRole>'
    '<id root="2.999" extension="1"/></patientRole></recordTarget><component><structuredBody>{}</structuredBody></component></ClinicalDocument>'
)
SECTION = '<component><section><code code="{}" codeSystem="2.16.840.1.113883.6.1"/><text>{}</text>{}</section></component>'
PROBLEM = (
    '<entry><observation moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.4"/><effectiveTime><low value="{}"/></effectiveTime>'
    '<value xsi:type="CD" code="{}" codeSystem="2.16.840.1.113883.6.96"/></observation></entry>'
)
REFERRING = (
    '<entry><observation moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.4"/><value xsi:type="CD" nullFlavor="OTH">'
    '<originalText><reference value="#{}"/></originalText></value></observation></entry>'
)
RESULT = (
    '<entry><observation moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.2"/>'
    '<code code="{}"/><value xsi:type="INT" value="{}"/></observation></entry>'
)


def section(code: str, *entries: str, text: str = "") -> str:
    """A section with entries."""
    return SECTION.format(code, text, "".join(entries))


ENTANGLED = {
    "repeated in a section": section("11450-4", PROBLEM.format("2020", "1"), PROBLEM.format("2021", "2"), PROBLEM.format("2020", "1")),
    "repeated elsewhere": section("11450-4", PROBLEM.format("2020", "1"), PROBLEM.format("2021", "2"))
    + section("46241-6", PROBLEM.format("2019", "3"), PROBLEM.format("2020", "1")),
    "words of another section": section(
        "11450-4", REFERRING.format("x1"), REFERRING.format("x2"), text='<content ID="x2">Anaemia</content>'
    )
    + section("10160-0", text='<content ID="x1">Gout</content>'),
    "the same result twice": section("30954-2", RESULT.format("a", "1"), RESULT.format("b", "2"), RESULT.format("a", "1")),
    "one that becomes another": section("30954-2", RESULT.format("a", "1"), RESULT.format("a", "2"), RESULT.format("a", "3")),
    "a section inside": section("11450-4", PROBLEM.format("2020", "1"), section("46241-6", PROBLEM.format("2019", "3"))),
    "no narrative": section("11450-4", PROBLEM.format("2020", "1"), PROBLEM.format("2021", "2")).replace("<text></text>", ""),
}


def check(content: bytes) -> None:
    """Both ways say the same of every element, in the same order."""
    ask = asking("ccda", PROVIDER)

    assert list(cda_effects(content, ask)) == list(effects(content, "ccda", ask))


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.parent.name)
def test_parts_answer_as_the_whole_does(path: Path) -> None:
    check(path.read_bytes())


@pytest.mark.parametrize("name", ENTANGLED)
def test_where_parts_hang_together_the_whole_is_asked(name: str) -> None:
    check(HEAD.format(ENTANGLED[name]).encode())


@pytest.mark.parametrize(
    "path", [*INPUTS[:3], *sorted((GOLDEN / "hl7v2").glob("refer*/input.hl7")), *sorted((GOLDEN / "fhir").glob("xml/*.xml"))]
)
def test_progress_counts_every_element(path: Path) -> None:
    steps: list[None] = []
    format = {"ccda": "ccda", "hl7v2": "hl7v2", "fhir": "fhir"}[path.parent.parent.name]
    sources_of(path.read_bytes(), format, PROVIDER, lambda: steps.append(None))  # type: ignore[arg-type]

    assert len(steps) == count_elements(path.read_bytes(), format)  # type: ignore[arg-type]
