"""What names a CDA document and its patient: pure, and the same in every service."""

from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from shared.canonical.reading import ProviderProfile, Warning
from shared.formats import LightLook
from shared.formats.cda_times import Time, read_time
from shared.formats.cda_tree import CDA, V3, Element, attribute, child, children, local_name, parse_cda, read_instance_identifier
from shared.formats.files import canonical_key as file_key
from shared.formats.xml import RefusedXML
from shared.identity import PatientIdentifier, choose_identifier, document_id, patient_key, source_version

SSN_ROOT = "2.16.840.1.113883.4.1"  # HL7 OID registry: United States social security number
_MAX_IDENTIFIERS = 100  # of one patient; more is no person


@dataclass(slots=True)
class Identity:
    """What names a document and its patient."""

    patient_key: str | None
    document_id: str
    control_id: str | None
    source_version: str
    has_patient: bool
    has_several_patients: bool
    patient_identifiers: list[PatientIdentifier]
    time: Time | None
    warnings: list[Warning]


def patient_roles(cda: CDA) -> list[Element]:
    """Every patientRole of the header (of the whole fragment)."""
    targets = cda.root.iter(V3 + "recordTarget") if cda.is_fragment else children(cda.root, "recordTarget")
    roles = [one for target in targets for one in children(target, "patientRole")]
    if cda.is_fragment and local_name(cda.root) == "patientRole":
        roles.append(cda.root)
    return roles


def patient_identifiers(role: Element, warnings: list[Warning]) -> list[PatientIdentifier]:
    """The identifiers of a patientRole. An OID without an extension is an authority without a number, and names nobody."""
    found = []
    for index, one in enumerate(islice(children(role, "id"), _MAX_IDENTIFIERS), 1):
        pair = read_instance_identifier(one)
        if pair is None:
            continue
        system, value = pair
        if system is None and attribute(one, "extension") is None and not _is_uuid(value):
            warnings.append(Warning("identifier_incomplete", f"recordTarget/patientRole/id[{index}]"))
            continue
        kind = "SS" if system == f"urn:oid:{SSN_ROOT}" else None
        found.append(PatientIdentifier(system, value, kind))
    return found


def _is_uuid(value: str) -> bool:
    try:
        UUID(value)
    except ValueError:
        return False
    return True


def _patient_key(identifiers: list[PatientIdentifier], provider: ProviderProfile) -> str | None:
    # a social security number names the patient only when nothing else does
    ranked = sorted(identifiers, key=lambda one: one.type == "SS")
    chosen = choose_identifier(ranked, provider.authorities)
    return patient_key(provider.provider_id, chosen) if chosen else None


def canonical_key(pair: tuple[str | None, str]) -> str:
    """The key of a document with this identifier or set identifier."""
    return f"{pair[0] or ''}|{pair[1]}"


def parent_documents(cda: CDA, type_code: str) -> list[Element]:
    """The parents that the header relates this document to by RPLC, APND or XFRM."""
    related = children(cda.root, "relatedDocument")
    return [one for each in related if attribute(each, "typeCode") == type_code for one in children(each, "parentDocument")]


def parent_key(parent: Element) -> str | None:
    """The key under which a parent document is known."""
    pair = read_instance_identifier(child(parent, "setId")) or read_instance_identifier(child(parent, "id"))
    return canonical_key(pair) if pair else None


def _document_key(cda: CDA) -> str | None:
    own = read_instance_identifier(child(cda.root, "id"))
    series = read_instance_identifier(child(cda.root, "setId"))
    # an addendum that carries its parent's setId is a document of its own all the same
    if series and own and any(parent_key(one) == canonical_key(series) for one in parent_documents(cda, "APND")):
        series = None
    if series:
        return canonical_key(series)
    replaced = next((key for one in parent_documents(cda, "RPLC") if (key := parent_key(one))), None)
    return replaced or (canonical_key(own) if own else None)


def read_identity(cda: CDA, content: bytes, provider: ProviderProfile) -> Identity:
    """Who and what the document is: setId, else the replaced document, else its own id, else the bytes."""
    warnings: list[Warning] = []
    key = None if cda.is_fragment else _document_key(cda)
    number = document_id(provider.provider_id, key or file_key(content))
    roles = patient_roles(cda)
    named = [patient_identifiers(role, warnings) for role in roles]
    keys = {_patient_key(identifiers, provider) for identifiers in named}
    has_several = len(roles) > 1 and (len(keys) > 1 or None in keys)
    who = None if not roles or has_several else next(iter(keys)) or number
    own = read_instance_identifier(child(cda.root, "id")) if not cda.is_fragment else None
    written = None if cda.is_fragment else attribute(child(cda.root, "effectiveTime"), "value")
    time = read_time(written, provider.time_zone)
    if not cda.is_fragment:
        if time is None:
            warnings.append(Warning("date_not_understood", "effectiveTime"))
        elif time.is_cut:
            warnings.append(Warning("date_cut", "effectiveTime"))
        elif time.time_without_zone:
            warnings.append(Warning("time_without_zone", "effectiveTime"))
    version = None if cda.is_fragment else _version_number(cda, warnings)
    return Identity(
        patient_key=who,
        document_id=number,
        control_id=canonical_key(own) if own else None,
        source_version=_source_version(version, time),
        has_patient=bool(roles),
        has_several_patients=has_several,
        patient_identifiers=named[0] if named else [],
        time=time,
        warnings=warnings,
    )


def _version_number(cda: CDA, warnings: list[Warning]) -> int | None:
    written = attribute(child(cda.root, "versionNumber"), "value")
    if written is None:
        return None
    if written.isascii() and written.isdigit() and len(written) <= 20:
        return int(written)
    warnings.append(Warning("version_not_understood", "versionNumber"))
    return None


def _source_version(version: int | None, time: Time | None) -> str:
    try:
        return source_version("cda", version, time.moment if time else None)
    except OverflowError:  # year 1 or 9999 at the edge of the calendar
        return source_version("cda", version)


def light_identity(content: bytes, provider: ProviderProfile) -> LightLook:
    """Patient, document, control id and version, as the reader finds them; all None for what the reader refuses."""
    try:
        cda = parse_cda(content)
    except RefusedXML:
        return LightLook(None, None, None, None)
    identity = read_identity(cda, content, provider)
    return LightLook(identity.patient_key, identity.document_id, identity.control_id, identity.source_version)
