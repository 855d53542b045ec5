"""CDA R2 and C-CDA as far as every service needs it: parsing (fragments too), identifiers, times, and the identity of a document."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from uuid import UUID
from zoneinfo import ZoneInfo

from lxml import etree

from shared.canonical.reading import ProviderProfile, Warning
from shared.formats import LightLook
from shared.formats.files import canonical_key as file_key
from shared.formats.xml import RefusedXML, decode_xml, parse_xml, scan_prolog
from shared.identity import PatientIdentifier, choose_identifier, document_id, normalize_system, patient_key, source_version
from shared.outcomes import Reason

Element = etree._Element
V3_NAMESPACE = "urn:hl7-org:v3"
V3 = "{urn:hl7-org:v3}"
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
SSN_ROOT = "2.16.840.1.113883.4.1"  # HL7 OID registry: United States social security number

_NAMESPACES = {
    "xsi": "http://www.w3.org/2001/XMLSchema-instance",
    "sdtc": "urn:hl7-org:sdtc",
    "voc": "urn:hl7-org:v3/voc",
    "xlink": "http://www.w3.org/1999/xlink",
    "cda": V3_NAMESPACE,
    "hl7": V3_NAMESPACE,
    "v3": V3_NAMESPACE,
    "n1": V3_NAMESPACE,
}
_PREFIX = re.compile(rb"[<\s/]([A-Za-z_][A-Za-z0-9_.-]{0,30}):[A-Za-z_]")
_MAX_PREFIXES = 64
_MAX_IDENTIFIERS = 100  # of one patient; more is no person
_RECOVERABLE = (201, 5)  # libxml2: prefix without declaration; a second root
# what stands at the root of a fragment without a namespace
STATEMENTS = frozenset(("observation", "act", "organizer", "procedure", "substanceAdministration", "supply", "encounter"))
ROOTS = STATEMENTS | frozenset(
    (
        *("ClinicalDocument", "recordTarget", "patientRole", "author", "custodian", "participant", "relatedDocument", "documentationOf"),
        *("component", "structuredBody", "nonXMLBody", "section", "entry", "entryRelationship"),
    )
)


@dataclass(slots=True)
class CDA:
    """A parsed document or fragment: its `ClinicalDocument`, or else the fragment's root."""

    root: Element
    is_fragment: bool
    warnings: list[Warning] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Time:
    """An HL7 time: ISO 8601 with the precision it came with, and the moment it begins at (aware)."""

    text: str
    moment: datetime
    zone_assumed: bool = False  # the provider's zone was added
    is_cut: bool = False  # a part behind a readable beginning was left out


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


def child(element: Element, name: str) -> Element | None:
    """The first child of that name."""
    return next(element.iterchildren(V3 + name), None)


def children(element: Element, name: str) -> Iterator[Element]:
    """The children of that name."""
    return element.iterchildren(V3 + name)


def descend(element: Element | None, *names: str) -> Element | None:
    """The first element at the end of a path of names."""
    for name in names:
        if element is None:
            return None
        element = child(element, name)
    return element


def local_name(element: Element) -> str:
    """The tag without its namespace."""
    return str(element.tag).rpartition("}")[2]


def attribute(element: Element | None, name: str) -> str | None:
    """The trimmed attribute, None when absent or empty."""
    if element is None:
        return None
    value = element.get(name)
    return (value.strip() or None) if value else None


def parse_cda(content: bytes) -> CDA:
    """Parse a document or a fragment; undeclared prefixes and missing namespaces are supplied and warned about.

    Raises RefusedXML; its reason is unsupported_content when the XML is well-formed but no CDA.
    """
    decoded = decode_xml(content)
    warnings = [Warning("encoding_guessed")] if decoded.guessed else []
    refusal: RefusedXML | None = None
    root: Element | None = None
    try:
        root = parse_xml(decoded.content)
    except RefusedXML as error:
        if error.code not in _RECOVERABLE:
            raise
        refusal = error
    if root is None or not str(root.tag).startswith(V3):
        if root is not None and local_name(root) not in ROOTS:
            raise RefusedXML(Reason.UNSUPPORTED_CONTENT, "/")
        root = _parse_wrapped(decoded.content, refusal)
        warnings.append(Warning("namespace_missing"))
    name = local_name(root)
    if name[:1].isupper() and name != "ClinicalDocument":  # an HL7 v3 message, not a document
        raise RefusedXML(Reason.UNSUPPORTED_CONTENT, "/")
    is_fragment = name != "ClinicalDocument"
    if is_fragment:
        warnings.append(Warning("header_missing"))
    return CDA(root, is_fragment, warnings)


def _parse_wrapped(content: bytes, refusal: RefusedXML | None) -> Element:
    start = scan_prolog(content).root
    body = content[start:]
    prefixes = sorted({one.decode("ascii") for one in _PREFIX.findall(body)} - {"xml", "xmlns"})[:_MAX_PREFIXES]
    declared = "".join(f' xmlns:{one}="{_NAMESPACES.get(one, f"urn:undeclared:{one}")}"' for one in prefixes)
    lines = b"\n" * content.count(b"\n", 0, start)  # line numbers stay true
    wrapper = parse_xml(lines + f'<fragment xmlns="{V3_NAMESPACE}"{declared}>'.encode() + body + b"</fragment>")
    roots = list(wrapper)
    if len(roots) == 1 and str(roots[0].tag).startswith(V3) and not (roots[0].tail or "").strip():
        return roots[0]
    if any(local_name(one) not in ROOTS or local_name(one) == "ClinicalDocument" for one in roots):
        raise refusal or RefusedXML(Reason.UNSUPPORTED_CONTENT, "/")
    return wrapper


def read_instance_identifier(element: Element | None) -> tuple[str | None, str] | None:
    """HL7 II as (system, value): the root alone is the value when there is no extension. None when it names nothing."""
    root, extension = attribute(element, "root"), attribute(element, "extension")
    if extension is not None:
        return normalize_system(root or attribute(element, "assigningAuthorityName")) or None, extension
    return (None, root) if root is not None else None


_TS = re.compile(
    r"(?P<y>\d{4})(?P<mo>\d\d)?(?P<d>\d\d)?(?P<h>\d\d)?(?P<mi>\d\d)?(?P<s>\d\d)?(?P<rest>\d?)(?P<f>\.\d*)?"
    r"(?P<z>Z|[+-]\d\d(?::?\d\d)?)?$"
)
_ISO = re.compile(
    r"(?P<y>\d{4})-(?P<mo>\d\d)(?:-(?P<d>\d\d)(?:[T ](?P<h>\d\d)(?::(?P<mi>\d\d)(?::(?P<s>\d\d)(?P<rest>)(?P<f>\.\d*)?)?)?)?)?"
    r"\s?(?P<z>Z|[+-]\d\d(?::?\d\d)?)?$"
)
_MAX_TIME = 40


def read_time(value: str | None, time_zone: str) -> Time | None:
    """HL7 TS (or ISO 8601) with its precision and zone; None when no year can be read. A time without a zone gets `time_zone`."""
    if value is None or len(value) > _MAX_TIME:
        return None
    match = _TS.match(value.strip()) or _ISO.match(value.strip())
    if match is None:
        return None
    part = match.groupdict()
    numbers = [int(part[one]) for one in ("y", "mo", "d", "h", "mi", "s") if part[one] is not None]
    is_cut = bool(part["rest"])
    moment = _moment(numbers)
    while moment is None and len(numbers) > 1:  # 20130231 or 2013071799: keep what stands before the impossible part
        is_cut = True
        numbers.pop()
        moment = _moment(numbers)
    if moment is None:
        return None
    return _with_zone(part, numbers, moment, time_zone, is_cut)


def _moment(numbers: list[int]) -> datetime | None:
    try:
        return datetime(*(numbers + [1, 1][max(0, len(numbers) - 1) :]))  # type: ignore[arg-type]  # noqa: DTZ001  # the zone follows
    except ValueError:
        return None


def _with_zone(part: dict[str, str | None], numbers: list[int], moment: datetime, time_zone: str, is_cut: bool) -> Time:
    text = "-".join(f"{one:0{4 if at == 0 else 2}d}" for at, one in enumerate(numbers[:3]))
    if len(numbers) < 4:
        return Time(text, moment.replace(tzinfo=ZoneInfo(time_zone)), False, is_cut)
    text += "T" + ":".join(f"{one:02d}" for one in numbers[3:])
    fraction = (part["f"] or "").removeprefix(".")
    if fraction and len(numbers) == 6:
        text += f".{fraction}"
        moment = moment.replace(microsecond=int(fraction.ljust(6, "0")[:6]))
    offset = _offset(part["z"])
    if offset is None:
        aware = moment.replace(tzinfo=ZoneInfo(time_zone))
        return Time(text + _offset_text(aware), aware, True, is_cut)
    aware = moment.replace(tzinfo=offset)
    return Time(text + ("Z" if part["z"] == "Z" else _offset_text(aware)), aware, False, is_cut)


def _offset(written: str | None) -> timezone | None:
    if written is None:
        return None
    if written == "Z":
        return UTC
    digits = written[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 14 or minutes > 59:
        return None
    span = timedelta(hours=hours, minutes=minutes)
    return timezone(-span if written[0] == "-" else span)


def _offset_text(moment: datetime) -> str:
    minutes = round((moment.utcoffset() or timedelta()).total_seconds() / 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


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
            warnings.append(Warning("time_unreadable", "effectiveTime"))
        elif time.is_cut:
            warnings.append(Warning("time_cut", "effectiveTime"))
        elif time.zone_assumed:
            warnings.append(Warning("zone_assumed", "effectiveTime"))
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
    warnings.append(Warning("version_unreadable", "versionNumber"))
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
