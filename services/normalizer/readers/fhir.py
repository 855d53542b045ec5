"""FHIR in JSON or XML (R4, with what STU3 and R5 write otherwise): a resource or a bundle about one patient."""

from services.normalizer.document_types import title_of
from services.normalizer.ledger.fhir import take_stock
from services.normalizer.readers.fhir_concepts import CODES
from services.normalizer.readers.fhir_documents import READERS
from services.normalizer.readers.fhir_facts import FACTS, diets_of, read_fact, read_social
from services.normalizer.readers.fhir_patient import is_animal, read_patient
from services.normalizer.readers.fhir_values import Context
from shared.canonical.elements import Attachment, Content, Source
from shared.canonical.reading import DocumentReading, PatientReading, ProviderProfile, Reading, rejected, skipped
from shared.formats.fhir_identity import KINDS, begin_of, parts_of
from shared.formats.fhir_json import NotJson, decode
from shared.formats.fhir_subjects import Subjects, Who
from shared.formats.fhir_tree import Resource, Tree, kind_of, last_updated, plant, text_of
from shared.formats.files import light_identity as file_identity
from shared.identity import digest
from shared.outcomes import Reason

KNOWN = frozenset({*KINDS, *FACTS, "Patient"})
WITHOUT_RECORD = frozenset(CODES["without_record"])
MAX_ENTRIES = 50_000


def read_fhir(content: bytes, provider: ProviderProfile) -> Reading:
    """Read a resource or a bundle. Never raises for what the bytes hold."""
    try:
        root = decode(content)
    except NotJson as error:
        return _not_json("fhir", error)
    if not isinstance(root, dict) or "resourceType" not in root:
        return read_json(content, provider)  # FHIR inside something else is not ours to unwrap
    tree = plant(root)
    if len(tree.resources) > MAX_ENTRIES:
        return rejected("fhir", Reason.TOO_MANY_PARTS, f"Bundle.entry[{MAX_ENTRIES}]")
    kinds = {kind_of(one) for one in tree.resources if kind_of(one) != "Encounter" or diets_of(one)}
    if not kinds & KNOWN:
        if kinds <= WITHOUT_RECORD:  # also an empty bundle
            return skipped("fhir", Reason.NO_CLINICAL_CONTENT)
        return rejected("fhir", Reason.UNSUPPORTED_CONTENT, "resourceType")  # its value is the sender's own text
    subjects = Subjects(tree)
    principal = subjects.principal()
    if principal is None and len(subjects.found) > 1:
        return rejected("fhir", Reason.SEVERAL_PATIENTS, "Bundle.entry")
    return _read(tree, subjects, principal, provider)


def _not_json(format: str, error: NotJson) -> Reading:
    return rejected("json" if format == "json" else "fhir", error.reason, error.where)


def _read(tree: Tree, subjects: Subjects, principal: str | None, provider: ProviderProfile) -> Reading:
    who = subjects.who(principal, provider) if principal else None
    if who and who.resource and is_animal(who.resource):
        return rejected("fhir", Reason.PATIENT_NOT_HUMAN, f"{tree.place(who.resource)}.extension")
    reading = Reading("fhir", "normalized", source_time=_source_time(tree))
    context = Context(tree, provider, reading, who.key if who else None)
    for place in tree.unread:
        context.warn("entry_not_read", place)
    own = _own_resources(tree, subjects, principal, context)
    patient = _patient(who, context)
    parts = parts_of(tree)
    ids = {id(one) for one in own}
    for one in own:
        if kind_of(one) in FACTS:
            read_fact(one, patient, context)
    for one in parts.social:
        if id(one) in ids:
            read_social(one, patient, context)
    for one in parts.documents:
        if id(one) in ids:
            context.used.clear()
            reading.documents.append(READERS[kind_of(one)](one, context))
    reading.documents = _once(reading.documents)
    if patient.patient_key:
        reading.patients.append(patient)
    elif not reading.documents:
        first = next(one for one in own if kind_of(one) in KNOWN) if own else tree.resources[0]
        where = "identifier" if kind_of(first) == "Patient" else "subject"
        return rejected("fhir", Reason.PATIENT_UNIDENTIFIED, f"{tree.place(first)}.{where}")
    elif patient.name or patient.medical_history or patient.dietary_preferences:
        # what is said of somebody unnamed is held under the document until someone says whose it is
        patient.patient_key = reading.documents[0].document_id
        reading.patients.append(patient)
    reading.losses = take_stock(own, foreign=[one for one in tree.resources if id(one) not in ids])
    return reading


def _patient(who: Who | None, context: Context) -> PatientReading:
    return read_patient(who, context) if who else PatientReading("")


def _own_resources(tree: Tree, subjects: Subjects, principal: str | None, context: Context) -> list[Resource]:
    """The resources about the patient, and those that name nobody; another person's facts stay out."""
    own: list[Resource] = []
    for number, one in enumerate(tree.resources):
        if subjects.owner(number) not in (None, principal):
            context.warn("resource_of_another_patient", tree.place(one))
            continue
        if kind_of(one) not in KNOWN and kind_of(one) not in WITHOUT_RECORD:
            context.warn("resource_not_mapped", tree.place(one))
        own.append(one)
    return own


def _once(documents: list[DocumentReading]) -> list[DocumentReading]:
    """The same attachment url in a report and in a reference is one document: the reference names it, the report adds its results."""
    by_url = {
        one.url: document
        for document in documents
        if document.source_version.startswith("docref:")
        for one in document.content.attachments
        if one.url
    }
    if not by_url:
        return documents
    kept = []
    for document in documents:
        twin = next((by_url[one.url] for one in document.content.attachments if one.url in by_url), None)
        if twin is None or not document.source_version.startswith("report:"):
            kept.append(document)
            continue
        twin.content.results += document.content.results
        twin.content.text = "\n\n".join(one for one in (twin.content.text, document.content.text) if one) or None
        twin.content.attachments += [one for one in document.content.attachments if one.url not in by_url]
        twin.identifiers += [one for one in document.identifiers if one not in twin.identifiers]
        twin.type = document.type if twin.type == "other" else twin.type
    return kept


def _source_time(tree: Tree) -> str | None:
    """When the source last edited what it sent: the latest meta.lastUpdated, else the latest date that a resource gives."""
    updated = [text for one in (tree.root, *tree.resources) if (text := last_updated(one))]
    if updated:
        return max(updated)
    dates = ("issued", "date", "recordedDate", "dateTime", "authoredOn", "effectiveDateTime")
    dated = [text for one in tree.resources if (text := begin_of(one, *dates))]
    return max(dated, default=text_of(tree.root.get("timestamp")))


def read_json(content: bytes, provider: ProviderProfile) -> Reading:
    """JSON that is no FHIR: kept as a document of its own, or refused where it is broken."""
    try:
        decode(content)
    except NotJson as error:
        return _not_json("json", error)
    look = file_identity(content, provider)
    sha256 = digest(content)
    document = DocumentReading(
        look.document_id or "",
        None,
        "other",
        look.source_version or "",
        title_of("other"),
        source=Source("provider", provider.organization),
        content=Content(attachments=[Attachment("application/json", len(content), sha256)]),
    )
    return Reading("json", "normalized", documents=[document], files={sha256: content})
