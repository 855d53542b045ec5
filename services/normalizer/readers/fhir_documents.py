"""Document resources: Composition, DocumentReference, DiagnosticReport, CarePlan, Media, Observation, Binary; each with its reader."""

from collections.abc import Callable

from services.normalizer.document_types import OTHER, classify_document
from services.normalizer.readers.fhir_attachments import attach, attach_all, attach_contents
from services.normalizer.readers.fhir_compositions import entry_lines, read_composition
from services.normalizer.readers.fhir_concepts import concept_name, concept_text, read_concept
from services.normalizer.readers.fhir_heading import categories_of, make_document
from services.normalizer.readers.fhir_results import observed, report_results, result_lines
from services.normalizer.readers.fhir_values import Context, narrative, notes_of
from shared.canonical.elements import Content
from shared.canonical.reading import DocumentReading
from shared.formats.fhir_identity import media_of
from shared.formats.fhir_tree import Resource, kind_of, objects, text_of


def read_reference(resource: Resource, context: Context) -> DocumentReading:
    """A DocumentReference; several contents are the same document in several formats."""
    content = Content()
    attach_contents(resource, content, context)
    description = text_of(resource.get("description"))
    content.text = content.text or description or narrative(resource)
    coding = read_concept(resource.get("type"))
    titles = [one.title for one in content.attachments if one.title]
    named = concept_text(resource.get("type"))
    kind = classify_document([coding] if coding else [], titles=(named, coding.display if coding else None))
    if kind == OTHER:
        kind = classify_document(categories_of(resource), titles=(*titles, description))
    made = make_document(resource, kind, titles[0] if titles else concept_name(resource.get("type")) or description, content, context)
    made.type_coding = coding
    around = next(iter(objects(resource.get("context"))), {})
    made.date = context.date_of(resource, "period", within=around) or context.date_of(resource, "period", "date", "indexed", "created")
    if made.date is None:
        files = (held for one in objects(resource.get("content")) for held in objects(one.get("attachment")))
        made.date = next((date for one in files if (date := context.date_of(resource, "creation", within=one))), None)
    return made


def read_report(resource: Resource, context: Context) -> DocumentReading:
    """A DiagnosticReport with the Observations that it names."""
    code = read_concept(resource.get("code"))
    group = (code.code or code.display) if code else None
    content = Content(results=report_results(resource, context, group))
    lines = result_lines(content.results)
    lines += [text for text in (text_of(resource.get("conclusion")),) if text]
    lines += [text for one in objects(resource.get("conclusionCode") or resource.get("codedDiagnosis")) if (text := concept_text(one))]
    lines += notes_of(resource)
    attach_all(resource.get("presentedForm"), resource, "presentedForm", content, context)
    for link in media_of(resource):
        found = context.tree.find(link, resource)
        if found is None or id(found) in context.used:
            continue
        if kind_of(found) == "DocumentReference":  # R5
            attach_contents(found, content, context)
        elif found.get("content") is not None:
            context.used.add(id(found))
            attach(found["content"], found, f"{context.tree.place(resource)}.media", content, context)
    content.text = "\n\n".join(one for one in ("\n".join(lines), content.text) if one) or narrative(resource)
    categories = categories_of(resource)
    title = concept_name(resource.get("code"))
    service = next((one.code for held in categories for one in (held, *held.translations) if one.code and one.code.isupper()), None)
    kind = classify_document(
        [one for one in (code, *categories) if one], diagnostic_service=service, titles=(title, code.display if code else None)
    )
    if kind == OTHER and any(one.value.kind == "quantity" for one in content.results):
        kind = "lab_report"
    made = make_document(resource, kind, title, content, context)
    made.type_coding = code
    made.date = context.date_of(resource, "effectiveDateTime", "effectivePeriod", "issued")
    return made


def read_plan(resource: Resource, context: Context) -> DocumentReading:
    """A CarePlan: what it is for, its goals, its activities."""
    lines = [text for text in (text_of(resource.get("description")),) if text]
    for reference in objects(resource.get("goal")):
        goal = context.tree.find(reference, resource)
        if text := concept_text(goal.get("description")) if goal else text_of(reference.get("display")):
            lines.append(f"Goal: {text}")
    for one in objects(resource.get("activity")):
        lines += [f"- {text}" for text in _activity(one, resource, context)]
        lines += [text for held in objects(one.get("progress")) if (text := text_of(held.get("text")))]
    lines += notes_of(resource)
    title = text_of(resource.get("title")) or next((text for one in objects(resource.get("category")) if (text := concept_text(one))), None)
    made = make_document(resource, "care_plan", title, Content("\n".join(lines) or narrative(resource)), context)
    made.type_coding = next(iter(categories_of(resource)), None)
    made.date = context.date_of(resource, "period", "created")
    return made


def _activity(activity: Resource, plan: Resource, context: Context) -> list[str]:
    """What is to be done: in words, else by the order behind it (`plannedActivityReference` in R5)."""
    detail = next(iter(objects(activity.get("detail"))), {})
    if text := text_of(detail.get("description")) or concept_text(detail.get("code")):
        return [text]
    lines = []
    for reference in (*objects(activity.get("reference")), *objects(activity.get("plannedActivityReference"))):
        found = context.tree.find(reference, plan)
        lines += entry_lines(reference, found, context) or [text for text in (concept_text(found.get("code")) if found else None,) if text]
    return lines


def read_media(resource: Resource, context: Context) -> DocumentReading:
    """A Media that no report holds."""
    content = Content()
    attach(resource.get("content") or {}, resource, f"{context.tree.place(resource)}.content", content, context)
    content.text = content.text or "\n".join(notes_of(resource)) or narrative(resource)
    coding = read_concept(resource.get("modality") or resource.get("type"))
    titles = [one.title for one in content.attachments if one.title]
    made = make_document(resource, OTHER, next(iter(titles), None) or concept_text(resource.get("bodySite")), content, context)
    made.type_coding = coding
    made.date = context.date_of(resource, "createdDateTime", "createdPeriod", "occurrenceDateTime", "issued")
    return made


def read_observation(resource: Resource, context: Context) -> DocumentReading:
    """An Observation that nothing holds."""
    content, kind, title = observed(resource, context)
    made = make_document(resource, kind, title, content, context)
    made.type_coding = read_concept(resource.get("code"))
    made.date = context.date_of(resource, "effectiveDateTime", "effectivePeriod", "effectiveInstant", "issued")
    return made


def read_binary(resource: Resource, context: Context) -> DocumentReading:
    """A Binary alone: a file that names nobody."""
    content = Content()
    attachment = {"contentType": resource.get("contentType"), "data": resource.get("data") or resource.get("content")}
    attach(attachment, resource, context.tree.place(resource), content, context)
    return make_document(resource, OTHER, None, content, context)


READERS: dict[str, Callable[[Resource, Context], DocumentReading]] = {
    "Composition": read_composition,
    "DocumentReference": read_reference,
    "DiagnosticReport": read_report,
    "CarePlan": read_plan,
    "Media": read_media,
    "Observation": read_observation,
    "Binary": read_binary,
}
