"""C-CDA 1.1 and 2.1, C32 and plain CDA R2, whole or in fragments: bytes in, one document and its patient out. Never raises."""

from services.normalizer.document_types import classify_document, title_of
from services.normalizer.ledger.cda import take_stock
from services.normalizer.mappings.tables import load_table
from services.normalizer.readers.ccda_attachments import read_attachments
from services.normalizer.readers.ccda_codes import read_coding, wording
from services.normalizer.readers.ccda_context import Context
from services.normalizer.readers.ccda_entries import Findings, read_entries, read_loose_statement
from services.normalizer.readers.ccda_header import read_authors, read_patient, read_source
from services.normalizer.readers.ccda_lines import Since
from services.normalizer.readers.ccda_narrative import References, render, render_inline
from services.normalizer.readers.ccda_sections import section_kind
from shared.canonical.elements import Coding, Content, DocumentIdentifier, Relation, Section
from shared.canonical.reading import DocumentReading, PatientReading, ProviderProfile, Reading, rejected
from shared.formats.cda import Identity, canonical_key, parent_documents, parent_key, read_identity
from shared.formats.cda_tree import (
    CDA,
    STATEMENTS,
    V3,
    Element,
    attribute,
    child,
    children,
    local_name,
    parse_cda,
    read_instance_identifier,
)
from shared.formats.xml import RefusedXML
from shared.identity import document_id
from shared.outcomes import Reason

_TEMPLATES: dict[str, str] = load_table("ccda_templates")["documents"]
_LOINC = "http://loinc.org"
_SUMMARY = "34133-9"  # what nearly every C-CDA says it is
_MAX_SECTIONS = 2_000


def read_ccda(content: bytes, provider: ProviderProfile) -> Reading:
    """Read one CDA. What cannot be read is a Reading that rejects it."""
    try:
        cda = parse_cda(content)
    except RefusedXML as refusal:
        return rejected("ccda", refusal.reason, refusal.where)
    identity = read_identity(cda, content, provider)
    if identity.has_several_patients:
        return rejected("ccda", Reason.SEVERAL_PATIENTS, "recordTarget")
    reading = Reading("ccda", "normalized", warnings=[*cda.warnings, *identity.warnings])
    context = Context(References(cda.root), provider.time_zone, reading.warnings)
    findings = Findings()
    sections = _read_body(cda, context, findings)
    attachments, text = read_attachments(cda, context, reading.files)
    patient = read_patient(cda, identity, context)
    document = _read_document(cda, identity, provider, context)
    document.content = Content(text or _rendering(sections), sections, findings.results, attachments)
    if patient is None and (findings.history or findings.diet):
        # a fragment names nobody; what it says is held under the document until someone says whose it is
        patient = PatientReading(patient_key=identity.document_id)
    if patient is not None:
        patient.medical_history, patient.dietary_preferences = findings.history, findings.diet
        reading.patients.append(patient)
    reading.documents.append(document)
    reading.source_time = document.date
    reading.losses = take_stock(cda.root)
    return reading


def _read_document(cda: CDA, identity: Identity, provider: ProviderProfile, context: Context) -> DocumentReading:
    named = _named_by(cda)
    code = child(named, "code") if named is not None else None
    coding = read_coding(code)
    title = _title(named) if named is not None else None
    kind = classify_document(_type_codings(cda, coding), titles=(title, wording(code, context)))
    return DocumentReading(
        document_id=identity.document_id,
        patient_key=identity.patient_key,
        type=kind,
        source_version=identity.source_version,
        title=title or (wording(code, context) if code is not None else None) or title_of(kind),
        identifiers=[] if cda.is_fragment else _read_identifiers(cda),
        type_coding=coding,
        date=identity.time.text if identity.time else None,
        authors=[] if cda.is_fragment else read_authors(cda),
        source=read_source(cda, provider),
        relations=[] if cda.is_fragment else _read_relations(cda, identity, provider),
    )


def _named_by(cda: CDA) -> Element | None:
    """The element whose code and title are the document's: the header's, or those of a fragment's only section."""
    if not cda.is_fragment:
        return cda.root
    sections = [cda.root] if local_name(cda.root) == "section" else list(cda.root.iter(f"{V3}section"))
    return sections[0] if len(sections) == 1 else None


def _type_codings(cda: CDA, coding: Coding | None) -> list[Coding]:
    """The type's codings, the most telling first: a narrower template goes before the summary that nearly every document claims to be."""
    found = [coding, *coding.translations] if coding else []
    specific = [one for one in found if one.code != _SUMMARY]
    roots = (attribute(one, "root") for one in children(cda.root, "templateId"))
    templates = [Coding(_LOINC, _TEMPLATES[root]) for root in roots if root in _TEMPLATES]
    return [*(Coding(one.system, one.code) for one in specific), *templates, *found]


def _read_identifiers(cda: CDA) -> list[DocumentIdentifier]:
    found = []
    for name, kind in (("id", "document"), ("setId", "set")):
        if pair := read_instance_identifier(child(cda.root, name)):
            found.append(DocumentIdentifier(pair[0], pair[1], kind))
    return found


def _read_relations(cda: CDA, identity: Identity, provider: ProviderProfile) -> list[Relation]:
    """RPLC and APND. A version replaced within its own series is named by its number, since both share our id."""
    relations: list[Relation] = []
    for parent in parent_documents(cda, "RPLC"):
        if key := parent_key(parent):
            target = document_id(provider.provider_id, key)
            number = read_instance_identifier(child(parent, "id"))
            relations.append(Relation("replaces", canonical_key(number) if target == identity.document_id and number else target))
    for parent in parent_documents(cda, "APND"):
        if key := parent_key(parent):
            relations.append(Relation("appends", document_id(provider.provider_id, key)))
    return relations  # skip XFRM: a transformation of the same document, not a new state of it


def _read_body(cda: CDA, context: Context, findings: Findings) -> list[Section]:
    sections: list[Section] = []
    if not cda.is_fragment:
        for component in children(cda.root, "component"):
            for body in children(component, "structuredBody"):
                _read_sections(body, "", sections, context, findings)
        return sections
    match local_name(cda.root):
        case "section":
            _read_section(cda.root, "section[1]", sections, context, findings)
        case name if name in STATEMENTS:
            read_loose_statement(cda.root, context, findings)
        case _:
            _read_fragment(cda.root, sections, context, findings)
    return sections


def _read_fragment(root: Element, sections: list[Section], context: Context, findings: Findings) -> None:
    """Any wrapper around sections or statements: `component`, `structuredBody`, `entry`, or several roots side by side."""
    for one in root:
        match local_name(one):
            case "section":
                _read_section(one, f"section[{len(sections) + 1}]", sections, context, findings)
            case name if name in STATEMENTS:
                read_loose_statement(one, context, findings)
            case "component" | "structuredBody" | "entry" | "entryRelationship":
                _read_fragment(one, sections, context, findings)


def _read_sections(
    parent: Element, where: str, sections: list[Section], context: Context, findings: Findings, kind: str | None = None
) -> None:
    for index, component in enumerate(children(parent, "component"), 1):
        for section in children(component, "section"):
            _read_section(section, f"{where}/section[{index}]".lstrip("/"), sections, context, findings, kind)


def _read_section(
    section: Element, where: str, sections: list[Section], context: Context, findings: Findings, around: str | None = None
) -> None:
    """A section and those inside it; one without a code is of the kind of the section around it, where it says no other."""
    if len(sections) >= _MAX_SECTIONS:
        context.where = where
        context.warn("sections_not_read", once=True)
        return
    context.section, context.where = section, where
    code = attribute(child(section, "code"), "code")
    text = child(section, "text")
    title = _title(section) or attribute(child(section, "code"), "displayName")
    if section.get("nullFlavor"):
        context.warn("section_without_information")  # "no information" is not "none"
    read = Section(code, title, render(text) if text is not None else None)
    if read.code or read.title or read.text:
        sections.append(read)
    before = Since(findings)
    kind = section_kind(section, code, title) or (around if code is None else None)
    read_entries(section, kind, where, context, findings)
    if read.text is None:
        read.text = before.lines()  # C-CDA wants a narrative; without one the entries are all there is to read
    _read_sections(section, where, sections, context, findings, kind)


def _title(element: Element) -> str | None:
    title = child(element, "title")
    return render_inline(title) if title is not None else None


def _rendering(sections: list[Section]) -> str | None:
    """All sections as one text, a heading above each."""
    blocks = ("\n".join(one for one in (section.title, section.text) if one) for section in sections)
    return "\n\n".join(one for one in blocks if one) or None
