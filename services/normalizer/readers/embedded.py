"""Documents inside documents: a CDA inside a message or a resource, and the text of every PDF, so that it can be searched.

PDFs are read after the document that holds them: a library in C reads them, which the service does in a process of its own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.normalizer.readers.ccda import read_ccda
from services.normalizer.readers.pdfs import MAX_PAGES, MAX_TEXT, UnreadablePdf, read_pdf
from shared.canonical.elements import Content
from shared.canonical.reading import ProviderProfile, Reading, Warning
from shared.formats.recognise import recognise

PDF = "application/pdf"
MAX_PDFS = 50  # of one message
_XML = ("xml", "cda")  # media types that may hold a CDA
_HOLDERS = ("hl7v2", "fhir", "ccda")
_WORD = re.compile(r"\w+")
_MOST = 0.9  # of a PDF's words: where the document says so many, it says the rest too


@dataclass(slots=True)
class PdfText:
    """What there is to read in a PDF; `is_readable` says whether it could be opened."""

    text: str | None = None
    is_readable: bool = True
    odd: list[str] = field(default_factory=list)  # codes of warnings


def may_be_cda(content: bytes, media_type: str) -> bool:
    """Whether a file with this media type is a CDA."""
    is_xml = media_type != "application/xhtml+xml" and any(one in media_type for one in _XML)
    return is_xml and recognise(content, media_type) == "ccda"


def unfold_cda(data: bytes, content: Content, reading: Reading, provider: ProviderProfile) -> list[str] | None:
    """Put the sections, results and files of a CDA inside into the content; its texts are given back. None when it cannot be read.

    Its facts stay in it: whether its patient is ours is for no one to assume.
    """
    inner = read_ccda(data, provider)
    if inner.outcome != "normalized":
        return None
    for one in inner.documents:
        content.sections += one.content.sections
        content.results += one.content.results
        content.attachments += one.content.attachments
    for sha256, held in inner.files.items():
        reading.files.setdefault(sha256, held)
    return [one.content.text for one in inner.documents if one.content.text]


def unfold_all(content: Content, reading: Reading, provider: ProviderProfile) -> None:
    """The same for every CDA among the files of a content, its text behind what is there."""
    for number, one in enumerate(list(content.attachments), 1):
        data = reading.files.get(one.sha256 or "")
        if data is None or not may_be_cda(data, one.media_type):
            continue
        texts = unfold_cda(data, content, reading, provider)
        if texts is None:
            reading.warnings.append(Warning("attachment_not_read", f"document[{len(reading.documents) + 1}]/attachment[{number}]"))
        content.text = "\n\n".join(text for text in (content.text, *(texts or ())) if text) or None


def pdfs_in(reading: Reading) -> dict[str, bytes]:
    """The PDFs inside the documents of a reading, by digest; a file that is a PDF itself has been read."""
    if reading.format not in _HOLDERS or not reading.files:
        return {}
    named = dict.fromkeys(one.sha256 for document in reading.documents for one in document.content.attachments if one.media_type == PDF)
    return {sha256: reading.files[sha256] for sha256 in list(named)[:MAX_PDFS] if sha256 and sha256 in reading.files}


def read_pdfs(pdfs: Mapping[str, bytes]) -> dict[str, PdfText]:
    """The texts of PDFs, within the pages and characters that one document may have."""
    found: dict[str, PdfText] = {}
    pages, characters = MAX_PAGES, MAX_TEXT
    for sha256, content in pdfs.items():
        if pages <= 0 or characters <= 0:
            found[sha256] = PdfText(odd=["pages_not_read"])
            continue
        try:
            read = read_pdf(content, max_pages=pages)
        except UnreadablePdf:
            found[sha256] = PdfText(is_readable=False)
            continue
        text = read.text[:characters] if read.text else None
        odd = [one.code for one in read.warnings]
        found[sha256] = PdfText(text, odd=odd + (["text_cut"] if read.text != text else []))
        pages -= read.pages
        characters -= len(text or "")
    return found


def put_texts(reading: Reading, texts: Mapping[str, PdfText]) -> None:
    """Put the texts of PDFs behind what their documents say already; what stands there is not said twice."""
    for at, document in enumerate(reading.documents, 1):
        for number, one in enumerate(document.content.attachments, 1):
            if one.media_type != PDF or one.sha256 not in reading.files:
                continue
            place = f"document[{at}]/attachment[{number}]"
            read = texts.get(one.sha256 or "", PdfText(is_readable=False))
            if not read.is_readable:
                reading.warnings.append(Warning("attachment_not_read", place))
            reading.warnings += [Warning(code, place) for code in dict.fromkeys(read.odd)]
            if read.text and not _is_said(read.text, document.content.text):
                document.content.text = "\n\n".join(text for text in (document.content.text, read.text) if text)


def _is_said(text: str, around: str | None) -> bool:
    """Whether the words of a text stand in the one around it: many a PDF shows the results beside it."""
    if not around:
        return False
    words = set(_WORD.findall(text.casefold()))
    return len(words - set(_WORD.findall(around.casefold()))) <= (1 - _MOST) * len(words)
