"""Document resources: Composition, DocumentReference, DiagnosticReport, CarePlan, Media, Observation, Binary."""

from collections.abc import Callable

from services.normalizer.document_types import OTHER, classify_document, title_of
from services.normalizer.readers.fhir_attachments import attach, attach_all
from services.normalizer.readers.fhir_results import find_results, observed, read_results, result_lines
from services.normalizer.readers.fhir_values import CODES, Context, concept_name, concept_text, narrative, notes_of, read_concept
from shared.canonical.elements import Coding, Content, DocumentIdentifier, Relation, Section, Source
from shared.canonical.reading import DocumentReading, DocumentStatus
from shared.formats.fhir_identity import Identity, identify, related, related_key
from shared.formats.fhir_subjects import identifier_type
from shared.formats.fhir_tree import Resource, kind_of, listed, objects, reference_of, text_of
from shared.identity import document_id

MAX_SECTIONS = 2_000
_MAX_DEPTH = 8  # sections inside sections
_NUMBERS = {"FILL": "filler", "PLAC": "placer", "ACSN": "accession"}  # HL7 table 0203
_ORDER: tuple[DocumentStatus, ...] = ("withdrawn", "superseded", "preliminary", "current")


def read_reference(resource: Resource, context: Context) -> DocumentReading:
    """A DocumentReference; several contents are the same document in several formats."""
    content = Content()
    place = context.tree.place(resource)
    for number, one in enumerate(listed(resource.get("content"))):
        attachment = one.get("attachment") if isinstance(one, dict) else one
        if attachment is None:
            context.warn("attachment_empty", f"{place}.content[{number}]")
        else:
            attach(attachment, resource, f"{place}.content[{number}].attachment", content, context)
    description = text_of(resource.get("description"))
    content.text = content.text or description or narrative(resource)
    coding = read_concept(resource.get("type"))
    titles = [one.title for one in content.attachments if one.title]
    named = concept_text(resource.get("type"))
    kind = classify_document([coding] if coding else [], title=" ".join(one for one in (named, coding.display if coding else None) if one))
    if kind == OTHER:
        kind = classify_document(_categories(resource), title=titles[0] if titles else description)
    made = _document(resource, kind, titles[0] if titles else concept_name(resource.get("type")) or description, content, context)
    made.type_coding = coding
    around = next(iter(objects(resource.get("context"))), {})
    made.date = context.date_of(resource, "period", within=around) or context.date_of(resource, "period", "date", "indexed", "created")
    return made


def read_report(resource: Resource, context: Context) -> DocumentReading:
    """A DiagnosticReport with the Observations that it names."""
    code = read_concept(resource.get("code"))
    group = (code.code or code.display) if code else None
    content = Content(results=find_results(resource, "result", context, group))
    lines = result_lines(content.results)
    lines += [text for text in (text_of(resource.get("conclusion")),) if text]
    lines += [text for one in objects(resource.get("conclusionCode") or resource.get("codedDiagnosis")) if (text := concept_text(one))]
    lines += notes_of(resource)
    attach_all(resource.get("presentedForm"), resource, "presentedForm", content, context)
    for one in objects(resource.get("media")):
        found = context.tree.find(one.get("link"), resource)
        if found is not None and found.get("content") is not None:
            attach(found["content"], found, f"{context.tree.place(resource)}.media", content, context)
    content.text = "\n\n".join(one for one in ("\n".join(lines), content.text) if one) or narrative(resource)
    categories = _categories(resource)
    title = concept_name(resource.get("code"))
    service = next((one.code for held in categories for one in (held, *held.translations) if one.code and one.code.isupper()), None)
    kind = classify_document([one for one in (code, *categories) if one], diagnostic_service=service, title=title)
    if kind == OTHER and any(one.value.kind == "quantity" for one in content.results):
        kind = "lab_report"
    made = _document(resource, kind, title, content, context)
    made.type_coding = code
    made.date = context.date_of(resource, "effectiveDateTime", "effectivePeriod", "issued")
    return made


def read_composition(resource: Resource, context: Context) -> DocumentReading:
    """A Composition: its sections with their narrative, the results and files among their entries."""
    content = Content()
    for one in objects(resource.get("section")):
        _section(one, resource, content, context, 0)
    parts = ("\n".join(text for text in (one.title, one.text) if text) for one in content.sections)
    content.text = "\n\n".join(one for one in (*parts, content.text) if one) or narrative(resource)
    code, title = read_concept(resource.get("type")), text_of(resource.get("title"))
    kind = classify_document([code] if code else [], title=title)
    kind = classify_document(_categories(resource)) if kind == OTHER else kind
    made = _document(resource, kind, title or concept_name(resource.get("type")), content, context)
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
                content.results += find_results(one, "result", context, group)
            case "DocumentReference" if context.tree.is_document:
                attach_all([held.get("attachment") for held in objects(one.get("content"))], one, "content", content, context)
    if text is None and len(content.results) > before:
        text = "\n".join(result_lines(content.results[before:]))
    if text is None:
        text = "\n".join(text for one, _ in found if (text := text_of(one.get("display")))) or None
    if any(one is None and reference_of(reference) for reference, one in found):
        context.warn("entry_not_included", context.tree.place(holder))
    if title or text:
        content.sections.append(Section(group, title, text))
    for one in objects(section.get("section")):
        _section(one, holder, content, context, depth + 1)


def read_plan(resource: Resource, context: Context) -> DocumentReading:
    """A CarePlan: what it is for, its goals, its activities."""
    lines = [text for text in (text_of(resource.get("description")),) if text]
    for reference in objects(resource.get("goal")):
        goal = context.tree.find(reference, resource)
        if text := concept_text(goal.get("description")) if goal else text_of(reference.get("display")):
            lines.append(f"Goal: {text}")
    for one in objects(resource.get("activity")):
        detail = next(iter(objects(one.get("detail"))), {})
        reference = next(iter(objects(one.get("reference"))), {})
        if text := text_of(detail.get("description")) or concept_text(detail.get("code")) or text_of(reference.get("display")):
            lines.append(f"- {text}")
    lines += notes_of(resource)
    title = text_of(resource.get("title")) or next((text for one in objects(resource.get("category")) if (text := concept_text(one))), None)
    made = _document(resource, "care_plan", title, Content("\n".join(lines) or narrative(resource)), context)
    made.type_coding = next(iter(_categories(resource)), None)
    made.date = context.date_of(resource, "period", "created")
    return made


def read_media(resource: Resource, context: Context) -> DocumentReading:
    """A Media that no report holds."""
    content = Content()
    attach(resource.get("content") or {}, resource, f"{context.tree.place(resource)}.content", content, context)
    content.text = content.text or "\n".join(notes_of(resource)) or narrative(resource)
    coding = read_concept(resource.get("modality") or resource.get("type"))
    titles = [one.title for one in content.attachments if one.title]
    made = _document(resource, OTHER, next(iter(titles), None) or concept_text(resource.get("bodySite")), content, context)
    made.type_coding = coding
    made.date = context.date_of(resource, "createdDateTime", "createdPeriod", "occurrenceDateTime", "issued")
    return made


def read_observation(resource: Resource, context: Context) -> DocumentReading:
    """An Observation that nothing holds."""
    content, kind, title = observed(resource, context)
    made = _document(resource, kind, title, content, context)
    made.type_coding = read_concept(resource.get("code"))
    made.date = context.date_of(resource, "effectiveDateTime", "effectivePeriod", "effectiveInstant", "issued")
    return made


def read_binary(resource: Resource, context: Context) -> DocumentReading:
    """A Binary alone: a file that names nobody."""
    content = Content()
    attachment = {"contentType": resource.get("contentType"), "data": resource.get("data") or resource.get("content")}
    attach(attachment, resource, context.tree.place(resource), content, context)
    return _document(resource, OTHER, None, content, context)


READERS: dict[str, Callable[[Resource, Context], DocumentReading]] = {
    "Composition": read_composition,
    "DocumentReference": read_reference,
    "DiagnosticReport": read_report,
    "CarePlan": read_plan,
    "Media": read_media,
    "Observation": read_observation,
    "Binary": read_binary,
}


def _document(resource: Resource, type: str, title: str | None, content: Content, context: Context) -> DocumentReading:
    """What all document resources share: identity, version, status, people, relations."""
    identity = identify(resource, context.tree, context.provider)
    meta = resource.get("meta")
    system = text_of(meta.get("source")) if isinstance(meta, dict) else None
    return DocumentReading(
        identity.document_id,
        context.patient_key,
        type,
        identity.source_version,
        title or title_of(type),
        status=_status(resource),
        identifiers=_identifiers(resource),
        authors=_people(resource, context),
        source=Source("provider", _organization(resource, context) or context.provider.organization, system),
        relations=_relations(resource, identity, context),
        content=content,
    )


def _status(resource: Resource) -> DocumentStatus:
    """The most final of what `status` and `docStatus` mean."""
    table = CODES["document_status"]
    said = {table.get(text_of(resource.get(name)) or "", "current") for name in ("status", "docStatus")}
    return next(one for one in _ORDER if one in said)


def _identifiers(resource: Resource) -> list[DocumentIdentifier]:
    found = [DocumentIdentifier(kind_of(resource), own, "document")] if (own := text_of(resource.get("id"))) else []
    for name in ("masterIdentifier", "identifier"):
        for one in objects(resource.get(name)):
            if value := text_of(one.get("value")):
                kind = "document" if name == "masterIdentifier" else _NUMBERS.get(identifier_type(one) or "")
                found.append(DocumentIdentifier(text_of(one.get("system")), value, kind))
    return found


def _relations(resource: Resource, identity: Identity, context: Context) -> list[Relation]:
    """What it replaces and appends. A document that shares our id is named by its number, as it is known to its sender."""
    kind = kind_of(resource)
    found = []
    for target in related(resource, "replaces"):
        key = related_key(target, kind)
        ours = document_id(context.provider.provider_id, key)
        found.append(Relation("replaces", key if ours == identity.document_id else ours))
    for target in related(resource, "appends"):
        ours = document_id(context.provider.provider_id, related_key(target, kind))
        if ours != identity.document_id:  # some say that a document appends itself
            found.append(Relation("appends", ours))
    return found  # skip transforms and signs: no new state of the other document


def _categories(resource: Resource) -> list[Coding]:
    return [made for one in listed(resource.get("category") or resource.get("class")) if (made := read_concept(one))]


def _people(resource: Resource, context: Context) -> list[str]:
    """Authors by the names that the references show, else by the resources behind them."""
    names: list[str] = []
    for name in ("author", "resultsInterpreter", "performer", "operator"):
        for one in objects(resource.get(name)):
            actor = one["actor"] if isinstance(one.get("actor"), dict) else one
            if shown := text_of(actor.get("display")) or _name_of(context.tree.find(actor, resource)):
                names.append(shown)
    return list(dict.fromkeys(names))


def _name_of(person: Resource | None) -> str | None:
    """The name of a practitioner, an organization or a device."""
    if person is None or kind_of(person) == "Patient":
        return None
    if shown := text_of(person.get("name")):
        return shown
    for name in objects(person.get("name")):
        parts = [text_of(one) for part in ("prefix", "given", "family", "suffix") for one in listed(name.get(part))]
        if shown := text_of(name.get("text")) or " ".join(one for one in parts if one):
            return shown
    return None


def _organization(resource: Resource, context: Context) -> str | None:
    custodian = resource.get("custodian")
    return (text_of(custodian.get("display")) if isinstance(custodian, dict) else None) or _name_of(context.tree.find(custodian, resource))
