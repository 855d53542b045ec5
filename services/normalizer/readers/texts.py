"""Text of every kind: plain, RTF, HTML; alone or inside a document. What it is, how it is decoded, what there is to read."""

import re
from dataclasses import dataclass
from html import unescape

from charset_normalizer import from_bytes
from lxml import etree
from striprtf.striprtf import rtf_to_text

from services.normalizer.readers.ccda_narrative import render
from shared.formats.recognise import PDF_HEAD_BYTES, image_media_type, is_html
from shared.formats.wide import narrow

_SAMPLE_BYTES = 65_536
_MIN_SAMPLE = 64  # bytes beyond ASCII below which statistics about the encoding are worthless
_RTF_TITLE = re.compile(r"\{\\title ([^{}\\]{1,200})\}")
_HTML_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{1,300})</title", re.IGNORECASE)
_HTML_CHARSET = re.compile(rb"charset\s*=\s*[\"']?([A-Za-z0-9_-]{2,30})", re.IGNORECASE)


class UnreadableText(Exception):
    """The file is not what it says."""


@dataclass(slots=True)
class Text:
    """What a text says: its words, its title, and whether its charset was a guess."""

    media_type: str
    text: str | None
    title: str | None = None
    is_guessed: bool = False


def read_rtf(content: bytes) -> Text:
    """RTF without its mark-up. Raises UnreadableText."""
    source = content.decode("cp1252", "replace")
    found = _RTF_TITLE.search(source, 0, _SAMPLE_BYTES)
    try:
        text = rtf_to_text(source, errors="replace")  # type: ignore[no-untyped-call]  # striprtf has no types
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        raise UnreadableText from None
    lines = (line.rstrip() for line in _sound(str(text)).replace("\0", "").splitlines())
    return Text("application/rtf", "\n".join(lines).strip() or None, found[1] if found else None)


def read_text(content: bytes, media_type: str | None) -> Text:
    """Plain text or HTML."""
    content = narrow(content)
    html = is_html(content, (media_type or "").partition(";")[0].strip().lower())
    text, is_guessed = _decode(content, media_type, is_page=html)
    read = Text("text/html" if html else "text/plain", _html_text(text) if html else _plain(text), is_guessed=is_guessed)
    if html and (found := _HTML_TITLE.search(text, 0, _SAMPLE_BYTES)):
        read.title = unescape(found[1])
    return read


def _plain(text: str) -> str | None:
    """Line ends and edges tidied, the rest as written."""
    lines = (line.rstrip() for line in text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    return "\n".join(lines).strip("\n") or None


def _decode(content: bytes, media_type: str | None, *, is_page: bool) -> tuple[str, bool]:
    """Byte order mark, else strict UTF-8, else what is declared, else by statistics, else Windows-1252; True when it was a guess."""
    try:
        return content.decode("utf-8-sig"), False
    except UnicodeDecodeError:
        pass
    declared = _HTML_CHARSET.search((media_type or "").encode("utf-8", "replace"))
    if declared is None and is_page:
        declared = _HTML_CHARSET.search(content, 0, 2048)
    if declared is not None:
        try:
            return _sound(content.decode(declared[1].decode("ascii"))), False
        except (UnicodeError, LookupError):
            pass
    sample = content[:_SAMPLE_BYTES]
    if sum(one > 127 for one in sample) >= _MIN_SAMPLE and (best := from_bytes(sample).best()) is not None:
        return content.decode(best.encoding, "replace"), True
    return content.decode("cp1252", "replace"), True


def _sound(text: str) -> str:
    """Text that can be encoded: half a surrogate pair, as RTF and some codecs make it, becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _html_text(text: str) -> str | None:
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True, huge_tree=False)
    try:
        root = etree.fromstring(text.encode("utf-8", "replace"), parser)
    except etree.LxmlError:
        return None
    return render(root) if root is not None else None


def media_type_of(content: bytes, declared: str) -> str:
    """The media type that the bytes bear out: PDF, images, RTF and HTML are told by their beginning, a false claim is `octet-stream`."""
    claim = declared.partition(";")[0].strip().lower()
    if content.startswith(b"%PDF-") or (claim == "application/pdf" and b"%PDF-" in content[:PDF_HEAD_BYTES]):
        return "application/pdf"
    if image := image_media_type(content):
        return image
    if content.startswith(b"{\\rtf"):
        return claim if claim in ("text/rtf", "application/rtf") else "application/rtf"
    if is_html(content):
        return claim if claim == "application/xhtml+xml" else "text/html"
    is_false = claim.startswith("image/") or claim in ("application/pdf", "text/rtf", "application/rtf")
    return "application/octet-stream" if is_false else claim


def plain_text(content: bytes, media_type: str) -> str | None:
    """The text of an embedded file where it is text of some kind; None for everything else."""
    try:
        match media_type:
            case "text/rtf" | "application/rtf":
                return read_rtf(content).text
            case kind if kind.startswith("text/") or kind == "application/xhtml+xml":
                return read_text(content, media_type).text
    except UnreadableText:
        return None
    return None
