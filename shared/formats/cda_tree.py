"""The tree of a CDA document: parsing (fragments too) and finding one's way in it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml import etree

from shared.canonical.reading import Warning
from shared.formats.xml import RefusedXML, decode_xml, parse_xml, scan_prolog
from shared.identity import normalize_system
from shared.outcomes import Reason

Element = etree._Element
V3_NAMESPACE = "urn:hl7-org:v3"
V3 = "{urn:hl7-org:v3}"
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"

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
    warnings = [Warning("charset_guessed")] if decoded.guessed else []
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
