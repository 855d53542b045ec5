"""FHIR JSON (R4, with what STU3 and R5 write otherwise): a resource or a bundle about one patient."""

from services.normalizer.document_types import title_of
from services.normalizer.readers.fhir_documents import plant, read_composition, read_observations, read_plan, read_reference, read_report
from services.normalizer.readers.fhir_patient import FACTS, is_animal, read_fact, read_patient
from services.normalizer.readers.fhir_values import begin_of
from shared.canonical.elements import Attachment, Content, Source
from shared.canonical.reading import DocumentReading, PatientReading, ProviderProfile, Reading, rejected, skipped
from shared.formats.fhir import NotJson, Resource, decode, find_patient, resources_of, text_of
from shared.formats.files import light_identity as file_identity
from shared.identity import digest, source_version
from shared.outcomes import Reason

DOCUMENTS = frozenset({"DocumentReference", "DiagnosticReport", "Composition", "CarePlan", "Observation"})
KNOWN = DOCUMENTS | set(FACTS) | {"Patient"}
WITHOUT_RECORD = frozenset(
    {"OperationOutcome", "CapabilityStatement", "Practitioner", "PractitionerRole", "Organization", "Location", "MessageHeader"}
)
MAX_ENTRIES = 50_000


def read_fhir(content: bytes, provider: ProviderProfile) -> Reading:
    """Read a resource or a bundle. Never raises for what the bytes hold."""
    if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return rejected("fhir", Reason.UNSUPPORTED_CONTENT, "xml")
    try:
        tree = decode(content)
    except NotJson as error:
        return rejected("fhir", Reason.TOO_DEEP if error.where == "depth" else Reason.MALFORMED_JSON, error.where)
    if not isinstance(tree, dict) or not isinstance(tree.get("resourceType"), str):
        return rejected("fhir", Reason.UNSUPPORTED_CONTENT, "resourceType")
    try:
        return _read(tree, provider)
    except RecursionError:
        return rejected("fhir", Reason.TOO_DEEP, "resourceType")


def _read(tree: Resource, provider: ProviderProfile) -> Reading:
    planted = plant(resources_of(tree))
    if len(planted.resources) > MAX_ENTRIES:
        return rejected("fhir", Reason.TOO_MANY_PARTS, "Bundle.entry")
    kinds = {str(one.get("resourceType")) for one in planted.resources}
    if not kinds & KNOWN:
        if kinds <= WITHOUT_RECORD:
            return skipped("fhir", Reason.NO_CLINICAL_CONTENT)
        return rejected("fhir", Reason.UNSUPPORTED_CONTENT, "resourceType")  # its value is the sender's own text
    who = find_patient(tree, provider)
    if who and who.resource and is_animal(who.resource):
        return rejected("fhir", Reason.PATIENT_NOT_HUMAN, "Patient.extension")
    patient = read_patient(who) if who else None
    reading = Reading("fhir", "normalized", source_time=_source_time(tree, planted.resources))
    key = patient.patient_key if patient else None
    facts = patient or PatientReading("")
    used: set[int] = set()
    for one in planted.resources:
        read_fact(one, facts, reading.warnings)
    for one in planted.resources:
        match one.get("resourceType"):
            case "Composition":
                reading.documents.append(read_composition(one, planted, key, provider, reading, used))
            case "DiagnosticReport":
                reading.documents.append(read_report(one, planted, key, provider, reading, used))
            case "DocumentReference":
                reading.documents.append(read_reference(one, planted, key, provider, reading))
            case "CarePlan":
                reading.documents.append(read_plan(one, key, provider))
    loose = [one for one in planted.resources if one.get("resourceType") == "Observation"]
    reading.documents += read_observations(loose, planted, key, provider, used)
    reading.documents = _once(reading.documents)
    if patient:
        reading.patients = [patient]
    elif not reading.documents:
        return rejected("fhir", Reason.PATIENT_UNIDENTIFIED, f"{min(kinds & KNOWN)}.subject")
    return reading


def _once(documents: list[DocumentReading]) -> list[DocumentReading]:
    """The same attachment url in a report and in a reference is one document: the reference names it, the report adds its results."""
    by_url = {
        one.url: document
        for document in documents
        if document.source_version.startswith("docref:")
        for one in document.content.attachments
        if one.url
    }
    kept = []
    for document in documents:
        twin = next((by_url[one.url] for one in document.content.attachments if one.url in by_url), None) if by_url else None
        if twin is None or twin is document:
            kept.append(document)
            continue
        twin.content.results += document.content.results
        twin.content.text = "\n\n".join(one for one in (twin.content.text, document.content.text) if one) or None
        twin.identifiers += [one for one in document.identifiers if one not in twin.identifiers]
    return kept


def _source_time(tree: Resource, resources: list[Resource]) -> str | None:
    """When the source last edited what it sent: the latest meta.lastUpdated, else the latest date that a resource gives."""
    updated = [
        text for one in (tree, *resources) if isinstance(one.get("meta"), dict) and (text := text_of(one["meta"].get("lastUpdated")))
    ]
    if updated:
        return max(updated)
    dated = [
        text
        for one in resources
        if (text := begin_of(one, "issued", "date", "recordedDate", "dateTime", "authoredOn", "effectiveDateTime"))
    ]
    return max(dated, default=text_of(tree.get("timestamp")))


def read_json(content: bytes, provider: ProviderProfile) -> Reading:
    """JSON that is no FHIR: kept as a document of its own, or refused where it is broken."""
    try:
        decode(content)
    except NotJson as error:
        return rejected("json", Reason.TOO_DEEP if error.where == "depth" else Reason.MALFORMED_JSON, error.where)
    look = file_identity(content, provider)
    sha256 = digest(content)
    document = DocumentReading(
        look.document_id or "",
        None,
        "other",
        source_version("file"),
        title_of("other"),
        source=Source("provider", provider.organization),
        content=Content(attachments=[Attachment("application/json", len(content), sha256)]),
    )
    return Reading("json", "normalized", documents=[document], files={sha256: content})
