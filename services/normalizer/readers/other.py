"""Files that are read for their text only: PDF, image, RTF, plain text, HTML. One document each, known by its bytes."""

import codecs
import re
import warnings
from html import unescape
from io import BytesIO

import pypdfium2
from charset_normalizer import from_bytes
from lxml import etree
from PIL import Image, UnidentifiedImageError
from striprtf.striprtf import rtf_to_text

from services.normalizer.document_types import title_of
from services.normalizer.readers.ccda_narrative import render
from shared.canonical.elements import Attachment, Content, Source
from shared.canonical.reading import DocumentReading, Format, ProviderProfile, Reading, Warning, rejected
from shared.formats.files import light_identity
from shared.formats.recognise import image_media_type, is_html
from shared.identity import digest
from shared.outcomes import Reason

MAX_PAGES = 200  # of a PDF, read for text; the file itself is kept whole
MAX_TEXT = 2_000_000  # characters of readable text
_PASSWORD, _SECURITY = 4, 5  # FPDF_ERR_PASSWORD, FPDF_ERR_SECURITY (pdfium, fpdfview.h)
_SAMPLE_BYTES = 65_536
_MIN_SAMPLE = 64  # bytes beyond ASCII below which statistics about the encoding are worthless
_RTF_TITLE = re.compile(r"\{\\title ([^{}\\]{1,200})\}")
_HTML_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{1,300})</title", re.IGNORECASE)
_HTML_CHARSET = re.compile(rb"charset\s*=\s*[\"']?([A-Za-z0-9_-]{2,30})", re.IGNORECASE)
_IMAGES = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP")


class _Refused(Exception):
    """The file cannot be read; caught in this module."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class _Read:
    """What a file says about itself."""

    def __init__(self, media_type: str, text: str | None = None, title: str | None = None, size: str | None = None) -> None:
        self.media_type = media_type
        self.text = text
        self.title = title
        self.size = size  # of an image, in words
        self.warnings: list[Warning] = []


def read_other(
    content: bytes, format: Format, provider: ProviderProfile, *, media_type: str | None = None, name: str | None = None
) -> Reading:
    """Read a file as one document with itself as its attachment. It names no patient: the publisher does."""
    if not content.strip(b"\xef\xbb\xbf \t\r\n\0"):
        return rejected(format, Reason.EMPTY_CONTENT)
    try:
        read = _read(content, format, media_type)
    except _Refused as refusal:
        return rejected(format, refusal.reason)
    identity = light_identity(content, provider)
    sha256 = digest(content)
    title = _clean(read.title) or _clean(name) or title_of("other")
    text = read.text[:MAX_TEXT] if read.text else None
    if read.text and len(read.text) > MAX_TEXT:
        read.warnings.append(Warning("text_cut"))
    document = DocumentReading(
        document_id=identity.document_id or "",
        patient_key=None,
        type="other",
        source_version=identity.source_version or "",
        title=title,
        source=Source("provider", provider.organization),
        content=Content(text, attachments=[Attachment(read.media_type, len(content), sha256, _clean(name) or read.size)]),
    )
    return Reading(format, "normalized", warnings=read.warnings, documents=[document], files={sha256: content})


def _read(content: bytes, format: Format, media_type: str | None) -> _Read:
    match format:
        case "pdf":
            return _read_pdf(content)
        case "image":
            return _read_image(content)
        case "rtf":
            return _read_rtf(content)
        case "text":
            return _read_text(content, media_type)
        case "unknown":
            raise _Refused(Reason.UNKNOWN_FORMAT)
    raise _Refused(Reason.UNSUPPORTED_CONTENT)


def _clean(text: str | None) -> str | None:
    """One line without control characters."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split()) or None if text else None


def _read_pdf(content: bytes) -> _Read:
    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        is_locked = getattr(error, "err_code", None) in (_PASSWORD, _SECURITY)
        raise _Refused(Reason.ENCRYPTED if is_locked else Reason.MALFORMED_DOCUMENT) from None
    try:
        count = len(document)
        read = _Read("application/pdf", title=document.get_metadata_value("Title"))
        if count > MAX_PAGES:
            read.warnings.append(Warning("pages_not_read", f"page[{MAX_PAGES + 1}]"))
        pages: list[str] = []
        for number in range(min(count, MAX_PAGES)):
            pages.append(_page_text(document, number, read))
            if sum(map(len, pages)) > MAX_TEXT:
                break
        read.text = "\n\n".join(one for one in pages if one) or None
        return read
    finally:
        document.close()


def _page_text(document: pypdfium2.PdfDocument, number: int, read: _Read) -> str:
    try:
        page = document[number]
        text = page.get_textpage().get_text_bounded()
    except pypdfium2.PdfiumError:
        read.warnings.append(Warning("page_not_understood", f"page[{number + 1}]"))
        return ""
    return "\n".join(line.rstrip() for line in str(text).replace("\0", "").replace("\ufffe", "-").splitlines()).strip()


def _read_image(content: bytes) -> _Read:
    """Header only: no pixel is decoded."""
    media_type = image_media_type(content)
    if media_type is None:
        raise _Refused(Reason.MALFORMED_DOCUMENT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a size that would be a bomb is none until it is decoded
            with Image.open(BytesIO(content), formats=_IMAGES) as image:
                return _Read(media_type, size=f"{image.width} × {image.height} pixels")
    except Image.DecompressionBombError:
        read = _Read(media_type)
        read.warnings.append(Warning("image_very_large"))
        return read
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, ArithmeticError, LookupError, TypeError):
        raise _Refused(Reason.MALFORMED_DOCUMENT) from None


def _read_rtf(content: bytes) -> _Read:
    source = content.decode("cp1252", "replace")
    found = _RTF_TITLE.search(source, 0, _SAMPLE_BYTES)
    return _Read("application/rtf", _rtf_text(source), found[1] if found else None)


def _rtf_text(source: str) -> str | None:
    try:
        text = rtf_to_text(source, errors="replace")  # type: ignore[no-untyped-call]  # striprtf has no types
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        raise _Refused(Reason.MALFORMED_DOCUMENT) from None
    lines = (line.rstrip() for line in _sound(str(text)).replace("\0", "").splitlines())
    return "\n".join(lines).strip() or None


def _read_text(content: bytes, media_type: str | None) -> _Read:
    html = is_html(content, (media_type or "").partition(";")[0].strip().lower())
    text, is_guessed = _decode(content, media_type, is_page=html)
    read = _Read("text/html" if html else "text/plain", _html_text(text) if html else _plain(text))
    if html and (found := _HTML_TITLE.search(text, 0, _SAMPLE_BYTES)):
        read.title = unescape(found[1])
    if is_guessed:
        read.warnings.append(Warning("charset_guessed"))
    return read


def _plain(text: str) -> str | None:
    """Line ends and edges tidied, the rest as written."""
    lines = (line.rstrip() for line in text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    return "\n".join(lines).strip("\n") or None


def _decode(content: bytes, media_type: str | None, *, is_page: bool) -> tuple[str, bool]:
    """Byte order mark, else strict UTF-8, else what is declared, else by statistics, else Windows-1252; True when it was a guess."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace"), False
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
    if content.startswith(b"%PDF-"):
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
                return _read_rtf(content).text
            case kind if kind.startswith("text/") or kind == "application/xhtml+xml":
                return _read_text(content, media_type).text
    except _Refused:
        return None
    return None
