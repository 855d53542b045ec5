"""A document that came as text inside JSON, or as Base64."""

import base64
import binascii
import re
from typing import Any

import msgspec

from shared.formats.fhir import is_fhir

MAX_DEPTH = 3  # objects around the document
MIN_BYTES = 40
MESSAGE = re.compile(rb"MSH[^\w\s]", re.IGNORECASE)
BASE64 = re.compile(rb"[A-Za-z0-9+/\r\n]{40,}={0,2}[\r\n]*")


def unwrap(content: bytes) -> bytes | None:
    """The one HL7 v2 message, CDA or PDF inside; None when the bytes are no wrapping, or it is not clear of what."""
    if content[:4096].lstrip().startswith((b"{", b"[")):
        return _in_json(content)
    if len(content) < MIN_BYTES or not BASE64.match(content[:256].strip()):
        return None
    decoded = _decoded(content)
    return decoded if decoded is not None and _is_document(decoded) else None


def _in_json(content: bytes) -> bytes | None:
    """The one document that stands in a JSON value as text or Base64; None when there is none, or more than one."""
    if is_fhir(content) or not _may_hold(content):
        return None
    try:
        tree = msgspec.json.decode(content)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    found = [one for text in _texts(tree, 0) if (one := _document_in(text)) is not None]
    return found[0] if len(found) == 1 else None


def _may_hold(content: bytes) -> bool:
    """A cheap look: MSH, a CDA or a PDF, in letters or as their Base64 begins."""
    return any(one in content for one in (b"MSH", b"TVNI", b"ClinicalDocument", b"PENsaW5pY2Fs", b"PD94bW", b"JVBER"))


def _texts(tree: Any, depth: int) -> list[str]:
    if isinstance(tree, str):
        return [tree]
    if depth > MAX_DEPTH or not isinstance(tree, (dict, list)):
        return []
    return [text for one in (tree.values() if isinstance(tree, dict) else tree) for text in _texts(one, depth + 1)]


def _document_in(text: str) -> bytes | None:
    """The document that a text is, or that its Base64 is."""
    plain = text.encode("utf-8", "replace")
    if _is_document(plain):
        return plain
    decoded = _decoded(plain)
    return decoded if decoded is not None and _is_document(decoded) else None


def _is_document(content: bytes) -> bool:
    start = content[:512].lstrip(b"\xef\xbb\xbf \t\r\n\x0b")
    return (
        MESSAGE.match(start) is not None or start.startswith(b"%PDF-") or (start.startswith(b"<") and b"ClinicalDocument" in content[:4096])
    )


def _decoded(content: bytes) -> bytes | None:
    if not BASE64.fullmatch(content.strip()):
        return None
    try:
        return base64.b64decode(b"".join(content.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
