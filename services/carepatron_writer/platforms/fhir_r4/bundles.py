"""Transactions: Binary and DocumentReference together, and the IHE MHD Provide Document Bundle (ITI-65). Pure.

Two entries of one identity never stand in one transaction: HAPI silently drops one of them (#8183).
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.carepatron_writer.platforms.fhir_r4.elements import Json, pruned, reference_to
from services.carepatron_writer.platforms.fhir_r4.heads import MASTER_SYSTEM
from services.carepatron_writer.platforms.fhir_r4.resources import TYPES, binary_id, binary_of
from services.carepatron_writer.platforms.port import Upload
from shared.identity import NAMESPACE

MHD = "https://profiles.ihe.net/ITI/MHD"
BUNDLE_PROFILE = f"{MHD}/StructureDefinition/IHE.MHD.Minimal.ProvideBundle"
DOCUMENT_PROFILE = f"{MHD}/StructureDefinition/IHE.MHD.Minimal.DocumentReference"
SIMPLIFIED_PROFILE = f"{MHD}/StructureDefinition/IHE.MHD.SimplifiedPublish.DocumentReference"
SUBMISSION_SET_PROFILE = f"{MHD}/StructureDefinition/IHE.MHD.Minimal.SubmissionSet"
SOURCE_ID = f"{MHD}/StructureDefinition/ihe-sourceId"
LIST_TYPES = f"{MHD}/CodeSystem/MHDlistTypes"


@dataclass
class Transaction:
    """Entries in the order in which their answers come back."""

    entries: list[Json] = field(default_factory=list)

    def add(self, resource: Json, *, full_url: str | None = None, if_none_exist: str | None = None) -> None:
        """POST, with If-None-Exist where the server knows it."""
        kind = str(resource["resourceType"])
        request = {"method": "POST", "url": kind, **({"ifNoneExist": if_none_exist} if if_none_exist else {})}
        self._add({**({"fullUrl": full_url} if full_url else {}), "resource": resource, "request": request})

    def put(self, resource: Json, found_id: str, *, etag: str | None = None, full_url: str | None = None) -> None:
        """PUT [type]/[id], with ifMatch."""
        kind = str(resource["resourceType"])
        request = {"method": "PUT", "url": f"{kind}/{found_id}", **({"ifMatch": etag} if etag else {})}
        entry = {"resource": {**resource, "id": found_id}, "request": request}
        self._add({"fullUrl": full_url, **entry} if full_url else entry)

    def as_json(self, *, profile: str | None = None) -> Json:
        """The bundle."""
        meta = {"meta": {"profile": [profile]}} if profile else {}
        return {"resourceType": "Bundle", **meta, "type": "transaction", "entry": self.entries}

    def _add(self, entry: Json) -> None:
        if identity_in(entry) in [identity_in(one) for one in self.entries]:
            raise ValueError("two entries of one identity in a transaction")
        self.entries.append(entry)


def identity_in(entry: Json) -> tuple[str, ...]:
    """What an entry is about: its address, the criteria under which it is made, or itself."""
    request = entry["request"]
    if request["method"] != "POST":
        return "at", request["url"]
    criteria = request.get("ifNoneExist")
    return ("as", request["url"], criteria) if criteria else ("new", str(entry.get("fullUrl") or id(entry)))


def urn_of(*parts: str) -> str:
    """A name inside one transaction."""
    return f"urn:uuid:{uuid.uuid5(NAMESPACE, '|'.join(('entry', *parts)))}"


def add_binary(transaction: Transaction, upload: Upload, *, is_at_own_id: bool) -> str:
    """The content as an entry; what attachment.url has to say to mean it."""
    if is_at_own_id:  # the same again when the transaction is repeated, instead of an orphan
        found_id = binary_id(upload)
        transaction.put(binary_of(upload), found_id)
        return f"Binary/{found_id}"
    full_url = urn_of("binary", upload.document_id, upload.version)
    transaction.add(binary_of(upload), full_url=full_url)
    return full_url


def submission_set(upload: Upload, patient: str, document: str, *, created: str, source_oid: str) -> Json:
    """The List of ITI-65 that says what was submitted, by whom, when. `document` is the full URL of the DocumentReference's entry."""
    entry_uuid = uuid.uuid5(NAMESPACE, f"submission|{upload.document_id}|{upload.version}|{patient}")
    source = source_oid or f"urn:oid:2.25.{NAMESPACE.int}"  # an OID may be made of a UUID (ITU-T X.667)
    kept: Json = pruned(
        {
            "resourceType": "List",
            "meta": {"profile": [SUBMISSION_SET_PROFILE]},
            "extension": [{"url": SOURCE_ID, "valueIdentifier": {"value": source}}],
            "identifier": [
                {"use": "official", "system": MASTER_SYSTEM, "value": f"urn:uuid:{entry_uuid}"},
                {"use": "usual", "system": MASTER_SYSTEM, "value": f"urn:oid:2.25.{entry_uuid.int}"},
            ],
            "status": "current",
            "mode": "working",
            "title": TYPES.get(upload.type, TYPES["other"])["display"],
            "code": {"coding": [{"system": LIST_TYPES, "code": "submissionset"}]},
            "subject": reference_to("Patient", patient),
            "date": created,
            "entry": [{"item": {"reference": document}}],
        }
    )
    return kept


def profiled(resource: Json, profile: str) -> Json:
    """The resource claiming a profile."""
    meta = dict(resource.get("meta") or {})
    claimed: Sequence[str] = meta.get("profile") or ()
    return {**resource, "meta": {**meta, "profile": list(dict.fromkeys([*claimed, profile]))}}
