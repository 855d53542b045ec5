"""The text of a PDF, page by page, as far as it has one."""

from dataclasses import dataclass, field

import pypdfium2

from shared.canonical.reading import Warning
from shared.outcomes import Reason

MAX_PAGES = 200  # of a PDF, read for text; the file itself is kept whole
MAX_TEXT = 2_000_000  # characters of readable text
_PASSWORD, _SECURITY = 4, 5  # FPDF_ERR_PASSWORD, FPDF_ERR_SECURITY (pdfium, fpdfview.h)


class UnreadablePdf(Exception):
    """The PDF is locked or damaged; the message has no content."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(slots=True)
class Pdf:
    """What a PDF says: its text, its title, how many pages it has, and what was odd at which page."""

    text: str | None = None
    title: str | None = None
    pages: int = 0
    warnings: list[Warning] = field(default_factory=list)


def read_pdf(content: bytes, *, max_pages: int = MAX_PAGES) -> Pdf:
    """The text of the first pages. Raises UnreadablePdf. A library in C reads it: for hostile bytes in a process of its own."""
    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        is_locked = getattr(error, "err_code", None) in (_PASSWORD, _SECURITY)
        raise UnreadablePdf(Reason.ENCRYPTED if is_locked else Reason.MALFORMED_DOCUMENT) from None
    try:
        count = len(document)
        read = Pdf(title=document.get_metadata_value("Title"), pages=min(count, max_pages))
        if count > max_pages:
            read.warnings.append(Warning("pages_not_read", f"page[{max_pages + 1}]"))
        pages: list[str] = []
        for number in range(read.pages):
            pages.append(_page_text(document, number, read))
            if sum(map(len, pages)) > MAX_TEXT:
                break
        read.text = "\n\n".join(one for one in pages if one) or None
        return read
    finally:
        document.close()


def _page_text(document: pypdfium2.PdfDocument, number: int, read: Pdf) -> str:
    try:
        page = document[number]
        text = page.get_textpage().get_text_bounded()
    except pypdfium2.PdfiumError:
        read.warnings.append(Warning("page_not_understood", f"page[{number + 1}]"))
        return ""
    return "\n".join(line.rstrip() for line in str(text).replace("\0", "").replace("\ufffe", "-").splitlines()).strip()
