"""Compositions: sections with their narrative, and the results and files among their entries."""

from services.normalizer.document_types import classify_document
from services.normalizer.readers.fhir_attachments import attach_contents
from services.normalizer.readers.fhir_concepts import concept_name, concept_text, read_concept
from services.normalizer.readers.fhir_facts import fact_lines
from services.normalizer.readers.fhir_heading import categories_of, make_document
from services.normalizer.readers.fhir_results import read_results, report_results, result_lines
from services.normalizer.readers.fhir_values import Context, narrative
from shared.canonical.elements import Content, Section
from shared.canonical.reading import DocumentReading
from shared.formats.fhir_tree import Resource, kind_of, objects, reference_of, text_of

MAX_SECTIONS = 2_000
_MAX_DEPTH = 8  # sections inside sections


def read_composition(resource: Resource, context: Context) -> DocumentReading:
    """A Composition: its sections with their narrative, the results and files among their entries."""
    content = Content()
    for one in objects(resource.get("section")):
        _section(one, resource, content, context, 0)
    parts = ("\n".join(text for text in (one.title, one.text) if text) for one in content.sections)
    content.text = "\n\n".join(one for one in (*parts, content.text) if one) or narrative(resource)
    code, title = read_concept(resource.get("type")), text_of(resource.get("title"))
    categories = categories_of(resource)
    kind = classify_document([*([code] if code else []), *categories], titles=(concept_name(resource.get("type")), title))
    made = make_document(resource, kind, title or concept_name(resource.get("type")), content, context)
    made.type_coding = code
    made.date = context.date_of(resource, "date")
    return made


def _section(section: Resource, holder: Resource, content: Content, context: Context, depth: int) -> None:
    if depth > _MAX_DEPTH or len(content.sections) >= MAX_SECTIONS:
        context.warn("sections_not_read", context.tree.place(holder))
        return
    code = read_concept(section.get("code"))
    title, text = text_of(section.get("title")) or (code.display if code else None), narrative(section)
    group = code.code if code else None
    found = [(one, context.tree.find(one, holder)) for one in objects(section.get("entry"))]
    if text is None and (reason := concept_text(section.get("emptyReason"))):
        text = reason
    before = len(content.results)
    for _, one in found:
        if one is None:
            continue
        match kind_of(one):
            case "Observation":
                content.results += read_results(one, context, group)
            case "DiagnosticReport":
                content.results += report_results(one, context, group)
            case "DocumentReference" if context.tree.is_document:
                attach_contents(one, content, context)
    if text is None and len(content.results) > before:
        text = "\n".join(result_lines(content.results[before:]))
    if text is None:
        text = "\n".join(line for reference, one in found for line in entry_lines(reference, one, context)) or None
    if any(one is None and reference_of(reference) for reference, one in found):
        context.warn("entry_not_included", context.tree.place(holder))
    if title or text:
        content.sections.append(Section(group, title, text))
    for one in objects(section.get("section")):
        _section(one, holder, content, context, depth + 1)


def entry_lines(reference: Resource, found: Resource | None, context: Context) -> list[str]:
    """What a reference shows, else what the resource behind it states, once in a document."""
    if shown := text_of(reference.get("display")):
        return [shown]
    if found is None or id(found) in context.used:
        return []
    context.used.add(id(found))
    return fact_lines(found, context)
