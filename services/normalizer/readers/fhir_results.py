"""Observations: as results of a report, a panel or a composition, and alone as small documents."""

from services.normalizer.document_types import OTHER
from services.normalizer.readers.fhir_values import (
    CODES,
    Context,
    concept_text,
    narrative,
    notes_of,
    read_concept,
    read_value,
    reference_range,
)
from services.normalizer.readers.lines import result_line
from shared.canonical.elements import Content, Result
from shared.formats.fhir_identity import begin_of
from shared.formats.fhir_tree import Resource, kind_of, objects, text_of

MAX_DEPTH = 8  # panels inside panels
_TIMES = ("effectiveDateTime", "effectivePeriod", "effectiveInstant", "issued")


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
    if value.kind != "none" or not (components or observation.get("hasMember")):
        results.append(Result(code, value, reference_range(observation), interpretation(observation), status, effective, group))
    inner = (code.code or code.display) if code else group
    for one in components:
        results.append(
            Result(read_concept(one.get("code")), read_value(one), reference_range(one), interpretation(one), status, effective, inner)
        )
    return results + find_results(observation, "hasMember", context, inner, depth + 1)


def find_results(holder: Resource, element: str, context: Context, group: str | None, depth: int = 0) -> list[Result]:
    """The results behind an element's references; one that is not at hand is missed in a warning."""
    results: list[Result] = []
    for one in objects(holder.get(element)):
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
