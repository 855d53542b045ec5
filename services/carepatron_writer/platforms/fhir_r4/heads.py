"""What of a stored DocumentReference decides what to do: identity, version, digests. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.carepatron_writer.platforms.fhir_r4.elements import Json, extensions_of, referred, values_of

DOCUMENT_SYSTEM = "urn:healthrecords:document-id"
MASTER_SYSTEM = "urn:ietf:rfc:3986"
OURS = "urn:healthrecords:document"  # extension: version, count, facts, sha256, dietary, abnormal
BINARY = "urn:healthrecords:binary"  # extension on the attachment: the Binary, where a server rewrites attachment.url
HEAD_ELEMENTS = "identifier,masterIdentifier,status,extension,subject,date"  # all but the content


@dataclass(frozen=True, slots=True)
class Head:
    """What of a stored DocumentReference decides what to do. `version` is empty where the server did not keep our extension."""

    id: str
    etag: str | None  # as If-Match takes it
    document_id: str | None
    version: str
    count: int
    facts: str | None
    sha256: str | None
    master: str | None
    status: str
    patient: str | None
    created: str | None  # DocumentReference.date

    @property
    def is_withdrawn(self) -> bool:
        """Taken back, by us or by the clinic."""
        return self.status == "entered-in-error"


def head_of(resource: Mapping[str, Any], etag: str | None = None) -> Head | None:
    """What a stored resource says; None when it is not one of ours. `etag` is that of the answer, else the version inside counts."""
    document_id = next((one.get("value") for one in _identifiers(resource) if one.get("system") == DOCUMENT_SYSTEM), None)
    found_id = resource.get("id")
    if not isinstance(document_id, str) or not isinstance(found_id, str):
        return None
    values = values_of(next(iter(extensions_of(resource, OURS)), {}))
    version_id = (resource.get("meta") or {}).get("versionId")
    master = resource.get("masterIdentifier") or {}
    return Head(
        id=found_id,
        etag=etag or (f'W/"{version_id}"' if version_id else None),
        document_id=document_id,
        version=str(values.get("version") or ""),
        count=values["count"] if isinstance(values.get("count"), int) else 1,
        facts=values.get("facts"),
        sha256=values.get("sha256"),
        master=master.get("value") if master.get("system") == MASTER_SYSTEM else None,
        status=str(resource.get("status") or ""),
        patient=referred(resource.get("subject"), "Patient"),
        created=resource.get("date"),
    )


def binary_behind(attachment: Mapping[str, Any]) -> str | None:
    """The id of the Binary: from our own extension first, since servers may sign, proxy or rewrite attachment.url."""
    ours = next((referred(one.get("valueReference"), "Binary") for one in extensions_of(attachment, BINARY)), None)
    return ours or referred(attachment.get("url"), "Binary")


def _identifiers(resource: Mapping[str, Any]) -> list[Json]:
    found = resource.get("identifier")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
