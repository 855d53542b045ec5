"""Hardened XML parsing: no document type, no entities, no network, bounded depth and attributes."""

import codecs
import re
from typing import NamedTuple

from lxml import etree

from shared.outcomes import Reason

MAX_DEPTH = 256  # libxml2's own bound; kept for large files too
MAX_ATTRIBUTES = 256  # of one element
MAX_NAMESPACES = 20_000  # declarations in one file
HUGE_BYTES = 9_000_000  # beyond this one text may exceed libxml2's 10 MB, so its bounds are lifted and ours count
# encodings in which `<!DOCTYPE` cannot hide: ASCII supersets; UTF-16 is transcoded first
_ENCODING = re.compile(
    r"^(utf-?8|us-ascii|ascii|utf-?16|iso[-_]?8859-\d{1,2}|latin-?1|windows-125\d|cp125\d|ansi_x3\.4-1968)$", re.IGNORECASE
)
_DECLARATION = re.compile(rb"\s*<\?xml\s[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9._:-]{1,40})[\"'][^>]{0,100}\?>")
# blank lines before the declaration are an error in XML and common in the wild; what it says is known by then
_LATE_DECLARATION = re.compile(rb"\A(\s+)<\?xml\s[^>]{0,200}\?>")
_SPACE = b" \t\r\n"
_NEWLINE = 10
_TOO_MANY_ATTRIBUTES = etree.XPath(f"boolean(//*[@*[{MAX_ATTRIBUTES + 1}]])")
_RESOURCE_LIMIT = 114  # XML_ERR_RESOURCE_LIMIT: depth, or a single text or attribute of more than 10 MB


class RefusedXML(Exception):
    """The bytes are not read: `reason` is malformed_xml, hostile_xml or too_deep, `where` a line; the message has no content."""

    def __init__(self, reason: Reason, where: str | None = None, *, code: int = 0) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.where = where
        self.code = code  # libxml2's error code, 0 for our own refusals


class Decoded(NamedTuple):
    """The same XML as UTF-8 without byte order mark; `guessed` when the encoding is not what the file says."""

    content: bytes
    guessed: bool


def decode_xml(content: bytes) -> Decoded:
    """UTF-8 whatever the bytes were encoded in: strict UTF-8 first, then what is declared, then (nothing declared) Windows-1252.

    Raises RefusedXML(malformed_xml) when the bytes do not fit or the declared encoding is outside the allowed list.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or content[:2] in (b"<\0", b"\0<"):
        return Decoded(_transcode(content, _utf16_name(content)), guessed=False)
    if content.startswith(codecs.BOM_UTF8):
        content = content[3:]
    content = content.rstrip(b"\0")
    declaration = _DECLARATION.match(content)
    declared = declaration[1].decode("ascii").lower() if declaration else None
    if declared is not None and not _ENCODING.fullmatch(declared):
        raise RefusedXML(Reason.MALFORMED_XML, "line 1")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        if declared is not None and declared not in ("utf-8", "utf8", "us-ascii", "ascii", "utf-16", "utf16"):
            return Decoded(_transcode(content, declared), guessed=False)
        if declared is not None:
            raise RefusedXML(Reason.MALFORMED_XML, _line(content, error.start)) from None
        return Decoded(_transcode(content, "cp1252"), guessed=True)
    # bytes that are valid UTF-8 beyond ASCII under another declaration: the declaration lies
    return Decoded(content, guessed=declared not in (None, "utf-8", "utf8") and not text.isascii())


def _line(content: bytes, position: int) -> str:
    return f"line {content[:position].count(_NEWLINE) + 1}"


def _utf16_name(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-16-le" if content[0] else "utf-16-be"


def _transcode(content: bytes, encoding: str) -> bytes:
    try:
        return content.decode(encoding).encode("utf-8")
    except (UnicodeError, LookupError):
        raise RefusedXML(Reason.MALFORMED_XML, "line 1") from None


class Prolog(NamedTuple):
    """What stands before the root element: where the root's `<` is (-1: there is none), and whether a document type is declared."""

    root: int
    has_doctype: bool


def scan_prolog(content: bytes) -> Prolog:
    """Skip white space, processing instructions, comments and a document type, without parsing. Takes UTF-8 or another ASCII superset."""
    position = 3 if content.startswith(codecs.BOM_UTF8) else 0
    has_doctype = False
    while True:
        while content[position : position + 1] and content[position] in _SPACE:
            position += 1
        if content.startswith(b"<?", position):
            end = content.find(b"?>", position)
            position = end + 2
        elif content.startswith(b"<!--", position):
            end = content.find(b"-->", position)
            position = end + 3
        elif content.startswith(b"<!", position):
            has_doctype = True
            end = _end_of_doctype(content, position)
            position = end + 1
        else:
            return Prolog(position if content.startswith(b"<", position) else -1, has_doctype)
        if end < 0:
            return Prolog(-1, has_doctype)


def _end_of_doctype(content: bytes, start: int) -> int:
    close = content.find(b">", start)
    subset = content.find(b"[", start)
    if 0 <= subset < close:
        bracket = content.find(b"]", subset)
        return content.find(b">", bracket) if bracket >= 0 else -1
    return close


def parse_xml(content: bytes) -> etree._Element:
    """The root element; comments and processing instructions are left out. `content` is what `decode_xml` gave.

    Raises RefusedXML: hostile_xml for a document type or masses of attributes, too_deep for depth, malformed_xml for the rest.
    """
    content = _LATE_DECLARATION.sub(rb"\1", content, count=1)
    prolog = scan_prolog(content)
    if prolog.has_doctype:
        raise RefusedXML(Reason.HOSTILE_XML, "DOCTYPE")
    if prolog.root < 0:
        raise RefusedXML(Reason.MALFORMED_XML, _line(content, len(content)))
    if content.count(b"xmlns") > MAX_NAMESPACES:
        raise RefusedXML(Reason.HOSTILE_XML, "xmlns")
    is_huge = len(content) > HUGE_BYTES
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=is_huge,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        code = getattr(error, "code", 0)
        reason = Reason.TOO_DEEP if code == _RESOURCE_LIMIT else Reason.MALFORMED_XML
        raise RefusedXML(reason, f"line {error.lineno or 1}", code=code) from None
    # the prolog scan has refused them already; this is the second lock on the same door
    if root.getroottree().docinfo.internalDTD is not None:
        raise RefusedXML(Reason.HOSTILE_XML, "DOCTYPE")
    if _TOO_MANY_ATTRIBUTES(root):
        raise RefusedXML(Reason.HOSTILE_XML, "attributes")
    if is_huge and _is_too_deep(root):
        raise RefusedXML(Reason.TOO_DEEP)
    return root


def _is_too_deep(root: etree._Element) -> bool:
    depth = 0
    for event, _ in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if depth > MAX_DEPTH:
            return True
    return False
