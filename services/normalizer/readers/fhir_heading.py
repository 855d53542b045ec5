"""What all document resources of FHIR share: identity, version, status, people, numbers, relations."""

from services.normalizer.document_types import title_of
from services.normalizer.readers.fhir_concepts import CODES, read_concept
from services.normalizer.readers.fhir_people import authors_of, custodian_of
from services.normalizer.readers.fhir_values import Context
from shared.canonical.elements import Coding, Content, DocumentIdentifier, Relation, Source
from shared.canonical.reading import DocumentReading, DocumentStatus
from shared.formats.fhir_identity import Identity, identify, related, related_key
from shared.formats.fhir_subjects import identifier_type
from shared.formats.fhir_tree import Resource, kind_of, listed, objects, text_of
from shared.identity import document_id

_NUMBERS = {"FILL": "filler", "PLAC": "placer", "ACSN": "accession"}  # HL7 table 0203
_ORDER: tuple[DocumentStatus, ...] = ("withdrawn", "superseded", "preliminary", "current")


def make_document(resource: Resource, type: str, title: str | None, content: Content, context: Context) -> DocumentReading:
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
        authors=authors_of(resource, context),
        source=Source("provider", custodian_of(resource, context) or context.provider.organization, system),
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


def categories_of(resource: Resource) -> list[Coding]:
    return [made for one in listed(resource.get("category") or resource.get("class")) if (made := read_concept(one))]
