"""Which format some bytes are in: by the bytes first, by the declared media type second. Looks at the beginning only."""

import codecs
import re

from shared.canonical.reading import Format
from shared.formats.cda_tree import ROOTS, V3_NAMESPACE
from shared.formats.fhir import is_fhir
from shared.formats.hl7v2_text import is_hl7v2
from shared.formats.wide import narrow_head
from shared.formats.xml import RefusedXML, decode_xml, scan_prolog

HEAD_BYTES = 4096
PDF_HEAD_BYTES = 1024  # a PDF may have something before its header, says ISO 32000 annex H
_SPACE = b" \t\r\n\x0b\x0c"
_ROOT = re.compile(rb"<(?:([A-Za-z_][\w.-]*):)?([A-Za-z_][\w.-]*)([^>]*)")
_HTML_ROOTS = frozenset((b"html", b"head", b"body", b"div", b"p", b"table", b"span", b"br", b"font", b"center", b"pre", b"meta", b"h1"))
_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"II+\0", "image/tiff"),
    (b"MM\0+", "image/tiff"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_BY_MEDIA_TYPE: dict[str, Format] = {
    "application/cda+xml": "ccda",
    "application/xml": "ccda",
    "text/xml": "ccda",
    "application/fhir+json": "fhir",
    "application/fhir+xml": "fhir",
    "application/fhir+ndjson": "fhir",
    "application/json": "json",
    "application/hl7-v2": "hl7v2",
    "application/hl7-v2+er7": "hl7v2",
    "x-application/hl7-v2+er7": "hl7v2",
    "application/pdf": "pdf",
}
_MIN_PRINTABLE = 0.95


def image_media_type(content: bytes) -> str | None:
    """The media type of an image, by its first bytes."""
    for magic, media_type in _IMAGES:
        if content.startswith(magic):
            return media_type
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "image/webp"
    # two letters prove little: the reserved words of the bitmap header are zero
    return "image/bmp" if content.startswith(b"BM") and content[6:10] == bytes(4) and len(content) >= 26 else None


def is_html(content: bytes, media_type: str | None = None) -> bool:
    """Whether it is an HTML page (XHTML too)."""
    head = _without_mark(narrow_head(content, HEAD_BYTES)).lstrip(_SPACE)
    if not head.startswith(b"<"):
        return False
    lowered = head.lower()
    if lowered.startswith((b"<!doctype html", b"<html")):
        return True
    prolog = scan_prolog(lowered)
    root = _ROOT.match(lowered, prolog.root) if prolog.root >= 0 else None
    if root is None or root[2] == b"html":
        return root is not None
    return not head.startswith(b"<?xml") and (root[2] in _HTML_ROOTS or media_type == "text/html")


def recognise(content: bytes, media_type: str | None = None) -> Format:
    """The format; "unknown" when the bytes are nothing we know. HTML counts as text."""
    declared = (media_type or "").partition(";")[0].strip().lower()
    if b"%PDF-" in content[:PDF_HEAD_BYTES]:
        return "pdf"
    if image_media_type(content):
        return "image"
    head = _without_mark(narrow_head(content, HEAD_BYTES * 16)).lstrip(_SPACE)
    if head.startswith(b"{\\rtf"):
        return "rtf"
    if is_hl7v2(content):
        return "hl7v2"
    if head.startswith(b"<"):
        found = _recognise_xml(content, declared)
        if found:
            return found
    if head.startswith((b"{", b"[")):
        if is_fhir(content) or declared in ("application/fhir+json", "application/fhir+ndjson"):
            return "fhir"
        return "json"
    if declared in _BY_MEDIA_TYPE and head and _is_text(content):
        return _BY_MEDIA_TYPE[declared] if declared != "application/pdf" else "text"
    return "text" if _is_text(content) else "unknown"


def _recognise_xml(content: bytes, declared: str) -> Format | None:
    """ccda or fhir by the root element, text for HTML, unknown for other XML; None when it is no XML at all."""
    if is_html(content, declared):
        return "text"
    try:
        # only UTF-16 needs transcoding to be looked at
        is_wide = content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or b"\0" in content[:2]
        looked_at = decode_xml(content[: HEAD_BYTES * 16]).content if is_wide else content
    except RefusedXML:
        return None
    prolog = scan_prolog(looked_at)
    root = _ROOT.match(looked_at, prolog.root) if prolog.root >= 0 else None
    if root is not None:
        prefix, name, attributes = root[1], root[2].decode("ascii", "replace"), root[3][:HEAD_BYTES]
        if b"http://hl7.org/fhir" in attributes:
            return "fhir"
        if name in ROOTS or (V3_NAMESPACE.encode() in attributes and _names_root(prefix, attributes)):
            return "ccda"
    # a document type, or XML that is broken before its root: the hardened reader refuses it with its proper reason
    if prolog.has_doctype or (root is None and looked_at.startswith(b"<?xml")) or _BY_MEDIA_TYPE.get(declared) == "ccda":
        return "ccda"
    return "unknown" if root is not None and _looks_closed(looked_at, root) else None


def _names_root(prefix: bytes | None, attributes: bytes) -> bool:
    wanted = b"xmlns:" + prefix if prefix else b"xmlns"
    return re.search(wanted + rb"\s*=\s*[\"']urn:hl7-org:v3[\"']", attributes) is not None


def _looks_closed(content: bytes, root: "re.Match[bytes]") -> bool:
    return content.startswith(b"<?xml") or b"</" in content[-HEAD_BYTES:] or root[3].endswith(b"/")


def _without_mark(content: bytes) -> bytes:
    return content[3:] if content.startswith(codecs.BOM_UTF8) else content


def _is_text(content: bytes) -> bool:
    head = narrow_head(content, HEAD_BYTES)
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        text = head.decode("cp1252", "replace")
    text = text.strip("\ufeff \t\r\n")
    if not text or "\0" in text:
        return False
    printable = sum(one.isprintable() or one in "\t\r\n\x0c" for one in text)
    return printable >= _MIN_PRINTABLE * len(text) and text.count("\ufffd") * 20 <= len(text)
