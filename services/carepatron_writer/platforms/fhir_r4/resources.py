"""Documents as FHIR R4 (4.0.1) DocumentReference and Binary. Pure: uploads and stored resources in, JSON out.

PLATFORMS.md, section 3: identity in `identifier` (the same for all versions), `masterIdentifier` specific to a version, our version,
count and digests in one extension (never in meta.tag, which servers add to), content inline or in a Binary.
"""

import re
import tomllib
import uuid
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import sha1
from importlib.resources import files
from typing import Any

import orjson

from services.carepatron_writer.platforms.fhir_r4.elements import (
    Json,
    coding,
    extension,
    extensions_of,
    narrative,
    pruned,
    reference_to,
    values_of,
    with_extension,
)
from services.carepatron_writer.platforms.fhir_r4.heads import BINARY, DOCUMENT_SYSTEM, MASTER_SYSTEM, OURS, binary_behind
from services.carepatron_writer.platforms.port import Upload
from shared.identity import NAMESPACE, digest

PACKAGE = "services.carepatron_writer.platforms.fhir_r4"
LOINC = "http://loinc.org"
CATEGORY = "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category"
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
NOT_STATED = "Not stated"
TYPES: dict[str, dict[str, str]] = tomllib.loads(files(PACKAGE).joinpath("loinc.toml").read_text("utf-8"))
_FACTS = tuple(one.name for one in fields(Upload) if one.name not in ("content", "version"))
# R4 datatype dateTime: a time needs seconds and a zone; less than that is cut back to the date
_DATE_TIME = re.compile(r"\d{4}(?:-\d{2}(?:-\d{2}(?:T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2}))?)?)?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Relation:
    """What a document replaces: an id on the server, or only our identity of it."""

    id: str | None = None
    document_id: str | None = None


@dataclass(frozen=True, slots=True)
class Making:
    """What a DocumentReference needs besides the upload."""

    patient: str
    created: str  # instant: when the reference was first made
    count: int = 1
    binary: str | None = None  # what attachment.url says: Binary/ID, or urn:uuid:… inside a transaction; None: inline
    replaced: Sequence[Relation] = ()
    custodian: str = ""
    has_doc_status: bool = True  # not in IHE MHD (docStatus 0..0)


def master_of(document_id: str, version: str) -> str:
    """The identifier of one version: R4 defines masterIdentifier as specific to it."""
    return f"urn:uuid:{uuid.uuid5(NAMESPACE, f'fhir|{document_id}|{version}')}"


def facts_of(upload: Upload) -> str:
    """Digest of all that an upload says besides its version: servers may rewrite what they keep, so that digests are compared."""
    return digest(orjson.dumps([getattr(upload, name) for name in _FACTS], option=orjson.OPT_SORT_KEYS))


def binary_id(upload: Upload) -> str:
    """An id of our own for the content, where the server takes such ids: the same bytes of the same version, written twice, are one."""
    return f"hr-{uuid.uuid5(NAMESPACE, f'binary|{upload.document_id}|{upload.version}|{upload.sha256}').hex}"


def media_type_of(upload: Upload) -> str:
    """As FHIR servers are guaranteed to take it."""
    return "text/plain; charset=utf-8" if upload.media_type == "text/plain" else upload.media_type


def binary_of(upload: Upload) -> Json:
    """The content as a Binary inside a transaction."""
    return {"resourceType": "Binary", "contentType": media_type_of(upload), "data": b64encode(upload.content).decode("ascii")}


def document_reference(upload: Upload, making: Making) -> Json:
    """The whole resource. Checked again by validation.py before it is sent."""
    organization = str(upload.source.get("organization") or "")
    body: Json = {
        "resourceType": "DocumentReference",
        "text": narrative(upload.title, (*upload.dietary, *upload.abnormal)),
        "extension": [_ours(upload, making.count)],
        "masterIdentifier": {"system": MASTER_SYSTEM, "value": master_of(upload.document_id, upload.version)},
        "identifier": [{"system": DOCUMENT_SYSTEM, "value": upload.document_id}],
        "status": "superseded" if upload.status == "superseded" else "current",
        "docStatus": ("preliminary" if upload.status == "preliminary" else "final") if making.has_doc_status else None,
        "type": _type(upload),
        "category": [{"coding": [{"system": CATEGORY, "code": "clinical-note", "display": "Clinical Note"}]}],
        "subject": reference_to("Patient", making.patient),
        "date": making.created,
        "author": [{"display": one} for one in upload.authors] or [{"display": organization or NOT_STATED}],
        "custodian": {"display": making.custodian or organization or NOT_STATED},
        "relatesTo": [_relation(one) for one in making.replaced],
        "description": upload.title,
        "content": [{"attachment": _attachment(upload, making.binary)}],
        "context": {"period": _period(upload.date)},
    }
    kept: Json = pruned(body)
    return kept


def withdrawn(stored: Mapping[str, Any], version: str) -> Json:
    """The partial body that takes a document back: identity, patient and the version of the withdrawal stay, the content does not.

    R4 wants `content` and a client that follows a link wants the link: of an inline attachment only the description stays, a Binary
    stays linked, so that nothing becomes an orphan. Nothing is ever deleted: the server's history keeps what was there.
    """
    names = ("resourceType", "id", "meta", "masterIdentifier", "identifier", "type", "category", "subject", "date", "content")
    body = {name: stored[name] for name in names if name in stored}
    body["content"] = [{**one, "attachment": _unfilled(one.get("attachment") or {})} for one in stored.get("content") or ()]
    values = values_of(next(iter(extensions_of(stored, OURS)), {}))
    ours = [extension("version", valueString=version), extension("count", valuePositiveInt=int(values.get("count") or 1))]
    ours += [extension(name, valueString=values[name]) for name in ("facts", "sha256") if isinstance(values.get(name), str)]
    body["extension"] = with_extension(stored, OURS, [{"url": OURS, "extension": ours}])
    kept: Json = pruned(replaceable({**body, "status": "entered-in-error"}))
    return kept


def superseded(stored: Mapping[str, Any]) -> Json:
    """A stored document that another one replaces; everything else stays."""
    return {**replaceable(stored), "status": "superseded"}


def replaceable(stored: Mapping[str, Any]) -> Json:
    """A stored resource as it may be sent back: without what the server sets, and with links that it has not signed for a minute."""
    body = dict(stored)
    meta = {name: value for name, value in (stored.get("meta") or {}).items() if name not in ("versionId", "lastUpdated", "source")}
    body["meta"] = meta
    if isinstance(stored.get("content"), list):
        body["content"] = [{**one, "attachment": _relinked(one.get("attachment") or {})} for one in stored["content"]]
    return {name: value for name, value in body.items() if value not in ({}, [], None)}


def _ours(upload: Upload, count: int) -> Json:
    said = [
        extension("version", valueString=upload.version),
        extension("count", valuePositiveInt=count),
        extension("facts", valueString=facts_of(upload)),
        extension("sha256", valueString=upload.sha256),
    ]
    for name, lines in (("dietary", upload.dietary), ("abnormal", upload.abnormal)):
        said += [extension(name, valueString=one) for one in lines if one.strip()]
    return {"url": OURS, "extension": said}


def _type(upload: Upload) -> Json:
    given = upload.type_coding or {}
    own = coding(given.get("system"), given.get("code"), given.get("display"))
    row = TYPES.get(upload.type, TYPES["other"])
    if own is not None and own.get("system") == LOINC:
        codings = [own]
    else:  # the source's own coding stays beside ours
        codings = [{"system": LOINC, **row}, *([own] if own else [])]
    return {"coding": codings, "text": given.get("display") or row["display"]}


def _attachment(upload: Upload, binary: str | None) -> Json:
    attachment: Json = {
        "contentType": media_type_of(upload),
        "size": len(upload.content),
        "hash": b64encode(sha1(upload.content, usedforsecurity=False).digest()).decode("ascii"),  # R4: SHA-1 in base64
        "title": upload.title,
    }
    if binary is None:
        return {**attachment, "data": b64encode(upload.content).decode("ascii")}
    return {**attachment, "extension": [extension(BINARY, valueReference={"reference": binary})], "url": binary}


def _unfilled(attachment: Mapping[str, Any]) -> Json:
    return {name: value for name, value in attachment.items() if name != "data"}


def _relinked(attachment: Mapping[str, Any]) -> Json:
    found = binary_behind(attachment)
    return {**attachment, "url": f"Binary/{found}"} if found and "url" in attachment else dict(attachment)


def _relation(replaced: Relation) -> Json:
    target = reference_to("DocumentReference", replaced.id) if replaced.id else {}
    identity = {"identifier": {"system": DOCUMENT_SYSTEM, "value": replaced.document_id}} if replaced.document_id else {}
    return {"code": "replaces", "target": {**target, **identity}}


def _period(date: str | None) -> Json:
    """When the care was given; that a source does not say is said too (data-absent-reason)."""
    text = (date or "").strip()
    start = text if _DATE_TIME.fullmatch(text) else None
    if start is None and _DATE.match(text):
        start = text[:10]
    return {"start": start} if start else {"extension": [extension(ABSENT, valueCode="unknown")]}
