"""Observations: as results of a report, a panel or a composition, and alone as small documents."""

from services.normalizer.document_types import OTHER
from services.normalizer.readers.fhir_concepts import CODES, concept_text, read_concept
from services.normalizer.readers.fhir_values import Context, narrative, notes_of, read_value, reference_range
from services.normalizer.readers.lines import result_line
from shared.canonical.elements import Content, Result
from shared.formats.fhir_identity import begin_of, members_of
from shared.formats.fhir_tree import Resource, kind_of, objects, text_of

MAX_DEPTH = 8  # panels inside panels
_TIMES = ("effectiveDateTime", "effectivePeriod", "effectiveInstant")


def read_results(observation: Resource, context: Context, group: str | None = None, depth: int = 0) -> list[Result]:
    """An Observation as results: its value, its components, its members. One that the document holds already gives none."""
    if id(observation) in context.used or depth > MAX_DEPTH:
        return []
    context.used.add(id(observation))
    code = read_concept(observation.get("code"))
    status = CODES["result_status"].get(text_of(observation.get("status")) or "", "unknown")
    effective = begin_of(observation, *_TIMES)
    components = objects(observation.get("component"))
    results: list[Result] = []
    value = read_value(observation)
    if value.kind != "none" or not (components or members_of(observation)):
        results.append(Result(code, value, reference_range(observation), interpretation(observation), status, effective, group))
    inner = (code.code or code.display) if code else group
    for one in components:
        results.append(
            Result(read_concept(one.get("code")), read_value(one), reference_range(one), interpretation(one), status, effective, inner)
        )
    return results + _find_results(observation, members_of(observation), "hasMember", context, inner, depth + 1)


def report_results(report: Resource, context: Context, group: str | None) -> list[Result]:
    """The results of a DiagnosticReport: those that it names, else the observations that it contains without naming them."""
    if named := objects(report.get("result")):
        return _find_results(report, named, "result", context, group, 0)
    contained = (one for one in objects(report.get("contained")) if kind_of(one) == "Observation")
    return [result for one in contained for result in read_results(one, context, group)]


def _find_results(
    holder: Resource, references: list[Resource], element: str, context: Context, group: str | None, depth: int
) -> list[Result]:
    """The results behind references; one that is not at hand is missed in a warning."""
    results: list[Result] = []
    for one in references:
        found = context.tree.find(one, holder)
        if found is None:
            context.warn("result_not_included", f"{context.tree.place(holder)}.{element}")
        elif kind_of(found) == "Observation":
            results += read_results(found, context, group, depth)
    return results


def interpretation(holder: Resource) -> str | None:
    """The first interpretation's code, else its words."""
    code = next((made for one in objects(holder.get("interpretation")) if (made := read_concept(one))), None)
    return (code.code or code.display) if code else None


def result_lines(results: list[Result]) -> list[str]:
    """Results as people read them; why a value is missing is said."""
    return [
        f"{result_line(one)} ({one.value.text})" if one.value.kind == "none" and one.value.text else result_line(one) for one in results
    ]


def observed(observation: Resource, context: Context) -> tuple[Content, str, str | None]:
    """What an Observation that no report holds says as a document, its type and title: laboratory categories make a laboratory report."""
    results = read_results(observation, context)
    categories = {text_of(one.get("code")) for held in objects(observation.get("category")) for one in objects(held.get("coding"))}
    kind = "lab_report" if "laboratory" in categories else OTHER
    text = "\n".join([*result_lines(results), *notes_of(observation)]) or narrative(observation)
    return Content(text, [], results), kind, concept_text(observation.get("code"))
