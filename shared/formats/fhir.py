"""FHIR JSON: decoding with numbers as written, splitting bundles of several patients, and who and what a resource is about.

One rule names a patient: the chosen identifier of the Patient resource at hand; without the resource, `subject.identifier`; without
that, the reference itself (`Patient/<id>`), which the registry can follow once the resource has come.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from shared.canonical.reading import ProviderProfile
from shared.formats import LightLook
from shared.identity import PatientIdentifier, choose_identifier, digest, document_id, patient_key

Resource = dict[str, Any]
BLANK = b"\xef\xbb\xbf \t\r\n"
POSITION = re.compile(r"\(byte (\d+)\)")
RESOURCE_ID = "resource"  # type of an identifier that is only a resource's id
# resources that belong to no single patient: each part of a split bundle keeps its copy
SHARED = frozenset(
    {"Practitioner", "PractitionerRole", "Organization", "Location", "Medication", "Device", "Substance", "Endpoint", "HealthcareService"}
)
SUBJECTS = ("subject", "patient", "beneficiary", "individual")
DOCUMENTS = ("DocumentReference", "DiagnosticReport", "Composition", "CarePlan", "Observation")


class Number(str):
    """A JSON number with the digits that were written."""

    __slots__ = ()


class NotJson(Exception):
    """The bytes are no JSON; `where` is `byte N`, `depth`, or nothing."""

    def __init__(self, where: str | None) -> None:
        super().__init__(where)
        self.where = where


_DECODER = msgspec.json.Decoder(float_hook=Number)
_RAW_BUNDLE = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RAW_LIST = msgspec.json.Decoder(list[msgspec.Raw])


def decode(content: bytes) -> Any:
    """The JSON value, decimals as `Number`. Raises NotJson; never anything else."""
    body = content.strip(BLANK)
    try:
        return _DECODER.decode(body)
    except RecursionError:
        raise NotJson("depth") from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, OverflowError) as error:
        found = POSITION.search(str(error))
        raise NotJson(f"byte {found[1]}" if found else None) from None


def is_fhir(content: bytes) -> bool:
    """Whether it looks like FHIR JSON or ndjson: an object that says resourceType early on."""
    head = content[:4096].lstrip(BLANK)
    return head.startswith(b"{") and (b'"resourceType"' in head or b'"resourceType"' in content[:65536])


def lines_of(content: bytes) -> list[bytes] | None:
    """The lines of ndjson; None when it is one JSON value."""
    lines = [line for line in content.strip(BLANK).splitlines() if line.strip()]
    if len(lines) < 2 or not all(line.lstrip().startswith(b"{") for line in lines[:2]):
        return None
    try:
        decode(lines[0])
    except NotJson:
        return None
    return lines


def split_resources(content: bytes) -> list[bytes]:
    """ndjson by line, a bundle of several patients by patient; anything else whole and unchanged. A broken line is a part of its own."""
    lines = lines_of(content)
    if lines is not None:
        return [part for line in lines for part in split_resources(line)]
    try:
        tree = decode(content)
    except NotJson:
        return [content]
    if not isinstance(tree, dict) or tree.get("resourceType") != "Bundle" or tree.get("type") == "document":
        return [content]
    owners = _owners(tree)
    patients = list(dict.fromkeys(one for one in owners if one and one != "*"))
    if len(patients) < 2:
        return [content]
    raw = _RAW_LIST.decode(_RAW_BUNDLE.decode(content.strip(BLANK))["entry"])
    groups = [*patients, *([None] if None in owners else [])]
    return [_bundle([bytes(one) for one, owner in zip(raw, owners, strict=True) if owner in (group, "*")]) for group in groups]


def _bundle(entries: list[bytes]) -> bytes:
    return b'{"resourceType":"Bundle","type":"collection","entry":[' + b",".join(entries) + b"]}"


def _owners(bundle: Resource) -> list[str | None]:
    """For each entry whose it is: a reference of the patient, `*` for everybody, None for nobody known."""
    entries = [one if isinstance(one, dict) else {} for one in listed(bundle.get("entry"))]
    names: dict[str, str] = {}
    for entry in entries:
        resource = entry.get("resource")
        if isinstance(resource, dict) and resource.get("resourceType") == "Patient":
            own = f"Patient/{resource.get('id') or entry.get('fullUrl') or len(names)}"
            for name in (entry.get("fullUrl"), f"Patient/{resource.get('id')}"):
                if isinstance(name, str):
                    names[name] = own
                    names[tail(name)] = own
    owners: list[str | None] = []
    for entry in entries:
        resource = entry.get("resource")
        if not isinstance(resource, dict):
            owners.append("*" if not resource else None)
            continue
        kind = resource.get("resourceType")
        if kind == "Patient":
            owners.append(names.get(f"Patient/{resource.get('id')}") or names.get(str(entry.get("fullUrl"))))
            continue
        reference = subject_reference(resource)
        if reference:
            owners.append(names.get(reference) or names.get(tail(reference)) or tail(reference))
        else:
            owners.append("*" if kind in SHARED else None)
    return owners


def listed(value: Any) -> list[Any]:
    """A list as it is, None as nothing, a single value as a list of one."""
    return value if isinstance(value, list) else [] if value is None else [value]


def text_of(value: Any) -> str | None:
    """A primitive as text; None for anything else and for the empty string."""
    if isinstance(value, str):
        return str(value).strip() or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def tail(reference: str) -> str:
    """`Patient/1` of an absolute or versioned reference; other texts unchanged."""
    found = re.search(r"(?:^|/)([A-Z][A-Za-z]+/[A-Za-z0-9.\-]{1,64})(?:/_history/[^/]*)?$", reference)
    return found[1] if found else reference


def subject_reference(resource: Resource) -> str | None:
    """The literal reference to the patient."""
    for name in SUBJECTS:
        subject = resource.get(name)
        subject = subject[0] if isinstance(subject, list) and subject else subject
        if isinstance(subject, dict) and (reference := text_of(subject.get("reference"))):
            return reference
    return None


def resources_of(tree: Resource) -> Iterator[tuple[str | None, Resource]]:
    """The resources of a bundle with their full URLs, else the resource itself; bundles inside bundles up to three deep."""
    yield from _walk(tree, 0)


def _walk(tree: Resource, depth: int) -> Iterator[tuple[str | None, Resource]]:
    if tree.get("resourceType") != "Bundle":
        yield None, tree
        return
    for entry in listed(tree.get("entry")):
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(resource, dict):
            continue
        if resource.get("resourceType") == "Bundle" and depth < 3:
            yield from _walk(resource, depth + 1)
        elif resource.get("resourceType") != "Bundle":
            yield text_of(entry.get("fullUrl")), resource


class Who(NamedTuple):
    """The patient of a tree: the resource where it is at hand, the identifiers, and the chosen key."""

    resource: Resource | None
    identifiers: list[PatientIdentifier]
    key: str


def find_patient(tree: Resource, provider: ProviderProfile) -> Who | None:
    """Whose the tree is; None when it names nobody."""
    reference: str | None = None
    named: Resource | None = None
    for _, resource in resources_of(tree):
        if resource.get("resourceType") == "Patient":
            return _who(resource, patient_identifiers(resource), provider)
    for _, resource in resources_of(tree):
        for name in SUBJECTS:
            subject = resource.get(name)
            subject = subject[0] if isinstance(subject, list) and subject else subject
            if not isinstance(subject, dict):
                continue
            reference = reference or text_of(subject.get("reference"))
            if isinstance(subject.get("identifier"), dict):
                named = named or subject["identifier"]
        contained = next(
            (one for one in listed(resource.get("contained")) if isinstance(one, dict) and one.get("resourceType") == "Patient"), None
        )
        if contained is not None and (reference is None or reference.startswith("#")):
            return _who(contained, patient_identifiers(contained), provider)
    if named is not None and (value := text_of(named.get("value"))):
        return _who(None, [PatientIdentifier(text_of(named.get("system")), value, _type(named))], provider)
    if reference is None or reference.startswith("#"):
        return None
    return _who(None, [PatientIdentifier("Patient", tail(reference).removeprefix("Patient/"), RESOURCE_ID)], provider)


def _who(resource: Resource | None, identifiers: list[PatientIdentifier], provider: ProviderProfile) -> Who | None:
    business = [one for one in identifiers if one.type != RESOURCE_ID]
    chosen = choose_identifier(business, provider.authorities) or choose_identifier(identifiers)
    return None if chosen is None else Who(resource, identifiers, patient_key(provider.provider_id, chosen))


def patient_identifiers(patient: Resource) -> list[PatientIdentifier]:
    """The identifiers of a Patient; its own id comes last, typed as a resource id."""
    found = [
        PatientIdentifier(text_of(one.get("system")), value, _type(one))
        for one in listed(patient.get("identifier"))
        if isinstance(one, dict) and (value := text_of(one.get("value")))
    ]
    if own := text_of(patient.get("id")):
        found.append(PatientIdentifier("Patient", own, RESOURCE_ID))
    return found


def _type(identifier: Resource) -> str | None:
    """The code of table 0203."""
    kind = identifier.get("type")
    for coding in listed(kind.get("coding")) if isinstance(kind, dict) else []:
        if isinstance(coding, dict) and (code := text_of(coding.get("code"))):
            return code
    return None


def document_key(resource: Resource, provider: ProviderProfile) -> str:
    """The version-independent key of a document resource: a configured business identifier, a replaced document's, else type and id."""
    kind = str(resource.get("resourceType"))
    identifiers = [one for one in listed(resource.get("identifier")) if isinstance(one, dict)]
    for one in identifiers:
        system, value = text_of(one.get("system")), text_of(one.get("value"))
        is_filler = kind == "DiagnosticReport" and _type(one) == "FILL"
        if value and (is_filler or kind == "Composition" or (system and system in provider.business_systems)):
            return f"{kind}|{system or ''}|{value}"
    if replaced := replaced_reference(resource):
        return replaced
    own = text_of(resource.get("id"))
    return f"{kind}/{own}" if own else f"sha256:{digest(msgspec.json.encode(resource))}"


def replaced_reference(resource: Resource) -> str | None:
    """The document that this one replaces (`relatesTo`), as `Type/id`."""
    for one in listed(resource.get("relatesTo")):
        if not isinstance(one, dict):
            continue
        code = one.get("code")  # a CodeableConcept in R5
        if isinstance(code, dict):
            code = next((text_of(coding.get("code")) for coding in listed(code.get("coding")) if isinstance(coding, dict)), None)
        target = one.get("target") or one.get("targetReference")
        reference = text_of(target.get("reference")) if isinstance(target, dict) else None
        if code == "replaces" and reference and not reference.startswith("#"):
            return tail(reference)
    return None


def light_identity(content: bytes, provider: ProviderProfile) -> LightLook:
    """Whose it is and which document comes first. Never raises; what cannot be read tells nothing."""
    try:
        tree = decode(content)
    except NotJson:
        return LightLook()
    if not isinstance(tree, dict):
        return LightLook()
    who = find_patient(tree, provider)
    documents = [one for _, one in resources_of(tree) if one.get("resourceType") in DOCUMENTS]
    first = min(documents, key=lambda one: DOCUMENTS.index(one["resourceType"]), default=None)
    return LightLook(
        who.key if who else None, document_id(provider.provider_id, document_key(first, provider)) if first else None, None, None
    )
