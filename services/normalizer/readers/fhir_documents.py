"""Document resources: DocumentReference, DiagnosticReport with Observations, Composition, CarePlan, and loose observations."""

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, field

from services.normalizer.document_types import OTHER, classify_document, title_of
from services.normalizer.readers.fhir_values import CODES, begin_of, concept_text, narrative, read_concept, read_value, reference_range
from services.normalizer.readers.lines import result_line
from services.normalizer.readers.other import media_type_of, plain_text
from services.normalizer.times import moment
from shared.canonical.elements import Attachment, Coding, Content, DocumentIdentifier, Relation, Result, Section, Source
from shared.canonical.reading import DocumentReading, DocumentStatus, ProviderProfile, Reading, Warning
from shared.formats.fhir import Resource, document_key, listed, replaced_reference, tail, text_of
from shared.identity import digest, document_id, source_version


@dataclass(slots=True)
class Tree:
    """The resources at hand, found by the references to them."""

    resources: list[Resource]
    by_reference: dict[str, Resource] = field(default_factory=dict)

    def find(self, reference: object, holder: Resource) -> Resource | None:
        """The resource behind a Reference: contained, by full URL, by type and id."""
        text = text_of(reference.get("reference")) if isinstance(reference, dict) else None
        if text is None:
            return None
        if text.startswith("#"):
            contained = (one for one in listed(holder.get("contained")) if isinstance(one, dict))
            return next((one for one in contained if f"#{text_of(one.get('id'))}" == text), None)
        return self.by_reference.get(text) or self.by_reference.get(tail(text))


def plant(resources: Iterable[tuple[str | None, Resource]]) -> Tree:
    """The tree of a bundle's resources."""
    tree = Tree([])
    for url, resource in resources:
        tree.resources.append(resource)
        if url:
            tree.by_reference[url] = resource
        if own := text_of(resource.get("id")):
            tree.by_reference[f"{resource.get('resourceType')}/{own}"] = resource
    return tree


def read_reference(resource: Resource, tree: Tree, patient_key: str | None, provider: ProviderProfile, reading: Reading) -> DocumentReading:
    """A DocumentReference; several contents are the same document in several formats."""
    content = Content()
    for one in listed(resource.get("content")):
        attachment = one.get("attachment") if isinstance(one, dict) else None
        if isinstance(attachment, dict):
            _attach(attachment, tree, resource, content, reading, "DocumentReference.content.attachment")
        else:
            reading.warnings.append(Warning("attachment_not_understood", "DocumentReference.content.attachment"))
    content.text = content.text or text_of(resource.get("description")) or narrative(resource)
    type_coding = read_concept(resource.get("type"))
    titles = [one.title for one in content.attachments if one.title]
    title = (titles[0] if titles else None) or (type_coding.display if type_coding else None) or text_of(resource.get("description"))
    kind = classify_document([one for one in (type_coding, *_categories(resource)) if one], title=title)
    doc_status, status = text_of(resource.get("docStatus")), text_of(resource.get("status"))
    is_withdrawn = "entered-in-error" in (status, doc_status)
    rank = 9 if is_withdrawn else int(CODES["doc_status_rank"].get(doc_status or "", 0))
    made = _document(resource, "docref", kind, title, patient_key, provider, content, rank=rank, edited=("date", "indexed", "created"))
    made.status = (
        "withdrawn"
        if is_withdrawn
        else _status("reference_status", status)
        if status == "superseded"
        else "preliminary"
        if rank == 1
        else "current"
    )
    made.type_coding = type_coding
    context = resource.get("context")
    made.date = (begin_of(context, "period") if isinstance(context, dict) else None) or begin_of(
        resource, "date", "period", "indexed", "created"
    )
    return made


def read_report(
    resource: Resource, tree: Tree, patient_key: str | None, provider: ProviderProfile, reading: Reading, used: set[int]
) -> DocumentReading:
    """A DiagnosticReport with the Observations that it names."""
    code = read_concept(resource.get("code"))
    group = (code.code or code.display) if code else None
    content = Content()
    for one in listed(resource.get("result")):
        found = tree.find(one, resource)
        if found is None:
            reading.warnings.append(Warning("result_not_included", "DiagnosticReport.result"))
        else:
            content.results += read_results(found, tree, group, used)
    lines = [result_line(one) for one in content.results]
    if conclusion := text_of(resource.get("conclusion")):
        lines.append(conclusion)
    lines += [text for one in listed(resource.get("conclusionCode") or resource.get("codedDiagnosis")) if (text := concept_text(one))]
    for one in listed(resource.get("presentedForm")):
        if isinstance(one, dict):
            _attach(one, tree, resource, content, reading, "DiagnosticReport.presentedForm")
    texts = ["\n".join(lines), content.text]
    content.text = "\n\n".join(one for one in texts if one) or narrative(resource)
    service = next((one.code for one in _categories(resource) if one.code and one.code in CODES_OF_SERVICES), None)
    title = concept_text(resource.get("code"))
    kind = classify_document([one for one in (code, *_categories(resource)) if one], diagnostic_service=service, title=title)
    if kind == OTHER and any(one.value.kind == "quantity" for one in content.results):
        kind = "lab_report"
    status = text_of(resource.get("status")) or ""
    rank = int(CODES["report_rank"].get(status, 0))
    made = _document(resource, "report", kind, title, patient_key, provider, content, rank=rank, edited=("issued", "effectiveDateTime"))
    made.status = _status("report_status", status)
    made.type_coding = code
    made.date = begin_of(resource, "effectiveDateTime", "effectivePeriod", "issued")
    return made


CODES_OF_SERVICES = frozenset(
    {"LAB", "RAD", "CT", "NMR", "US", "RUS", "CUS", "EC", "SP", "PAT", "CP", "HM", "CH", "MB", "MCB", "SR", "IMM", "TX", "UR"}
)


def read_results(observation: Resource, tree: Tree, group: str | None, used: set[int], depth: int = 0) -> list[Result]:
    """An Observation as results: its value, its components, its members."""
    if id(observation) in used or depth > 8:
        return []
    used.add(id(observation))
    code = read_concept(observation.get("code"))
    status = CODES["result_status"].get(text_of(observation.get("status")) or "", "unknown")
    effective = begin_of(observation, "effectiveDateTime", "effectivePeriod", "effectiveInstant", "issued")
    components = [one for one in listed(observation.get("component")) if isinstance(one, dict)]
    members = [found for one in listed(observation.get("hasMember")) if (found := tree.find(one, observation)) is not None]
    results = []
    value = read_value(observation)
    if value.kind != "none" or not (components or members):
        results.append(Result(code, value, reference_range(observation), _interpretation(observation), status, effective, group))
    inner = (code.code or code.display) if code else group
    for one in components:
        made = Result(read_concept(one.get("code")), read_value(one), reference_range(one), _interpretation(one), status, effective, inner)
        results.append(made)
    for found in members:
        results += read_results(found, tree, inner, used, depth + 1)
    return results


def read_observations(
    observations: list[Resource], tree: Tree, patient_key: str | None, provider: ProviderProfile, used: set[int]
) -> list[DocumentReading]:
    """Observations that no report holds: one alone is a document; those of one encounter or day are one document together."""
    groups: dict[str, list[Resource]] = {}
    for one in observations:
        if id(one) in used:
            continue
        encounter = one.get("encounter") or one.get("context")
        reference = text_of(encounter.get("reference")) if isinstance(encounter, dict) else None
        day = (begin_of(one, "effectiveDateTime", "effectivePeriod", "issued") or "")[:10]
        groups.setdefault(tail(reference) if reference else day, []).append(one)
    documents = []
    for key, members in groups.items():
        results = [result for one in members for result in read_results(one, tree, None, used)]
        if results:
            documents.append(_observed(key, members, results, is_alone=len(observations) == 1, patient_key=patient_key, provider=provider))
    return documents


def _observed(
    key: str, members: list[Resource], results: list[Result], *, is_alone: bool, patient_key: str | None, provider: ProviderProfile
) -> DocumentReading:
    first = members[0]
    categories = {code.code for one in members for code in _categories(one) if code.code}
    kind = "lab_report" if "laboratory" in categories else OTHER
    content = Content("\n".join(result_line(one) for one in results) or narrative(first), [], results)
    title = concept_text(first.get("code")) if is_alone else "Laboratory results" if kind == "lab_report" else "Observations"
    status = text_of(first.get("status")) or ""
    rank = int(CODES["report_rank"].get(status, 0)) if is_alone else 0
    made = _document(first, "observation", kind, title, patient_key, provider, content, rank=rank, edited=("issued", "effectiveDateTime"))
    if is_alone:
        made.status = _status("report_status", status)
        made.type_coding = read_concept(first.get("code"))
    else:
        made.document_id = document_id(provider.provider_id, f"observations|{patient_key}|{key}")
        made.identifiers = []
        latest = max((_edit_time(one, ("issued", "effectiveDateTime")) or "" for one in members), default="")
        made.source_version = source_version("observation", edited_at=moment(latest or None, provider.time_zone))
    made.date = begin_of(first, "effectiveDateTime", "effectivePeriod", "issued")
    return made


def read_composition(
    resource: Resource, tree: Tree, patient_key: str | None, provider: ProviderProfile, reading: Reading, used: set[int]
) -> DocumentReading:
    """A Composition: its sections with their narrative, the results among their entries."""
    content = Content()
    for one in listed(resource.get("section")):
        _section(one, resource, tree, content, used, 0)
    content.text = "\n\n".join("\n".join(text for text in (one.title, one.text) if text) for one in content.sections) or narrative(resource)
    code, title = read_concept(resource.get("type")), text_of(resource.get("title"))
    kind = classify_document([one for one in (code, *_categories(resource)) if one], title=title)
    status = text_of(resource.get("status")) or ""
    rank = int(CODES["report_rank"].get(status, 0))
    made = _document(resource, "composition", kind, title, patient_key, provider, content, rank=rank, edited=("date",))
    made.status = _status("report_status", status)
    made.type_coding = code
    made.date = text_of(resource.get("date"))
    return made


def _section(section: object, holder: Resource, tree: Tree, content: Content, used: set[int], depth: int) -> None:
    if not isinstance(section, dict) or depth > 8:
        return
    code = read_concept(section.get("code"))
    made = Section(code.code if code else None, text_of(section.get("title")) or (code.display if code else None), narrative(section))
    if made.text or made.title:
        content.sections.append(made)
    for one in listed(section.get("entry")):
        found = tree.find(one, holder)
        if found is not None and found.get("resourceType") == "Observation":
            content.results += read_results(found, tree, code.code if code else None, used)
    for one in listed(section.get("section")):
        _section(one, holder, tree, content, used, depth + 1)


def read_plan(resource: Resource, patient_key: str | None, provider: ProviderProfile) -> DocumentReading:
    """A CarePlan as a document."""
    lines = [text for one in (resource.get("description"),) if (text := text_of(one))]
    for one in listed(resource.get("activity")):
        detail = one.get("detail") if isinstance(one, dict) else None
        if isinstance(detail, dict) and (text := text_of(detail.get("description")) or concept_text(detail.get("code"))):
            lines.append(f"- {text}")
    status = text_of(resource.get("status")) or ""
    content = Content("\n".join(lines) or narrative(resource))
    title = text_of(resource.get("title")) or next((text for one in listed(resource.get("category")) if (text := concept_text(one))), None)
    made = _document(
        resource,
        "careplan",
        "care_plan",
        title,
        patient_key,
        provider,
        content,
        rank=9 if status == "entered-in-error" else 0,
        edited=("created",),
    )
    made.status = "withdrawn" if status == "entered-in-error" else "current"
    made.date = begin_of(resource, "period", "created")
    return made


def _document(
    resource: Resource,
    kind: str,
    type: str,
    title: str | None,
    patient_key: str | None,
    provider: ProviderProfile,
    content: Content,
    *,
    rank: int,
    edited: tuple[str, ...],
) -> DocumentReading:
    """What all document resources share: identity, version, people, relations."""
    meta = resource.get("meta")
    version = text_of(meta.get("versionId")) if isinstance(meta, dict) else None
    number = int(version) if version and version.isascii() and version.isdigit() and len(version) <= 18 else None
    made = DocumentReading(
        document_id(provider.provider_id, document_key(resource, provider)),
        patient_key,
        type,
        source_version(kind, number, moment(_edit_time(resource, edited), provider.time_zone), rank),
        title or title_of(type),
        content=content,
        authors=_people(resource),
        source=Source("provider", _organization(resource) or provider.organization, _source_system(resource)),
    )
    if own := text_of(resource.get("id")):
        made.identifiers.append(DocumentIdentifier(str(resource.get("resourceType")), own, "document"))
    master = resource.get("masterIdentifier")
    for one, name in [(master, "document"), *((one, None) for one in listed(resource.get("identifier")))]:
        value = text_of(one.get("value")) if isinstance(one, dict) else None
        if isinstance(one, dict) and value:
            made.identifiers.append(DocumentIdentifier(text_of(one.get("system")), value, name or _number_kind(one)))
    if replaced := replaced_reference(resource):
        made.relations.append(Relation("replaces", document_id(provider.provider_id, replaced)))
    for one in listed(resource.get("relatesTo")):
        target = one.get("target") if isinstance(one, dict) else None
        if isinstance(target, dict) and one.get("code") == "appends" and (reference := text_of(target.get("reference"))):
            made.relations.append(Relation("appends", document_id(provider.provider_id, tail(reference))))
    return made


def _number_kind(identifier: Resource) -> str | None:
    code = read_concept(identifier.get("type"))
    return {"FILL": "filler", "PLAC": "placer", "ACSN": "accession"}.get(code.code or "") if code else None


def _edit_time(resource: Resource, names: tuple[str, ...]) -> str | None:
    """meta.lastUpdated, else the resource's own time of edit."""
    meta = resource.get("meta")
    return (text_of(meta.get("lastUpdated")) if isinstance(meta, dict) else None) or begin_of(resource, *names)


def _status(table: str, status: str | None) -> DocumentStatus:
    found: DocumentStatus = CODES[table].get(status or "", "current")
    return found


def _categories(resource: Resource) -> list[Coding]:
    return [made for one in listed(resource.get("category")) if (made := read_concept(one))]


def _interpretation(holder: Resource) -> str | None:
    code = next((made for one in listed(holder.get("interpretation")) if (made := read_concept(one))), None)
    return (code.code or code.display) if code else None


def _people(resource: Resource) -> list[str]:
    """Authors by the names that the references show."""
    names: list[str] = []
    for field_name in ("author", "resultsInterpreter", "performer"):
        for one in listed(resource.get(field_name)):
            actor = one.get("actor") if isinstance(one, dict) and isinstance(one.get("actor"), dict) else one
            if isinstance(actor, dict) and (name := text_of(actor.get("display"))):
                names.append(name)
    return list(dict.fromkeys(names))


def _organization(resource: Resource) -> str | None:
    custodian = resource.get("custodian")
    return text_of(custodian.get("display")) if isinstance(custodian, dict) else None


def _source_system(resource: Resource) -> str | None:
    meta = resource.get("meta")
    return text_of(meta.get("source")) if isinstance(meta, dict) else None


def _attach(attachment: Resource, tree: Tree, holder: Resource, content: Content, reading: Reading, where: str) -> None:
    """An Attachment: bytes that are there are kept, a url is noted and never fetched."""
    declared = text_of(attachment.get("contentType")) or "application/octet-stream"
    title, url, encoded = (text_of(attachment.get(name)) for name in ("title", "url", "data"))
    if encoded is None and url and (binary := tree.find({"reference": url}, holder)) is not None:
        encoded = text_of(binary.get("data") or binary.get("content"))
        declared = text_of(binary.get("contentType")) or declared
    media_type = declared.partition(";")[0].strip().lower()
    if encoded is None:
        if url:
            content.attachments.append(Attachment(media_type, None, None, title, url))
        reading.warnings.append(Warning("attachment_not_included" if url else "attachment_empty", where))
        return
    try:
        data = base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError):
        reading.warnings.append(Warning("attachment_not_understood", f"{where}.data"))
        return
    sha256 = digest(data)
    reading.files[sha256] = data
    content.attachments.append(Attachment(media_type_of(data, declared), len(data), sha256, title, url))
    if text := plain_text(data, declared):
        content.text = f"{content.text}\n\n{text}" if content.text else text
