"""Pages of a PDF as pictures, so that a chart shows them in any browser without frames or scripts."""

from contextlib import closing
from io import BytesIO
from threading import Lock

import pypdfium2

WIDTH = 1_100  # pixels
MAX_PIXELS = 6_000_000
_ONE = Lock()  # pdfium is not for several threads


def pages_in(content: bytes) -> int:
    """How many pages there are; 0 when it cannot be read."""
    with _ONE:
        try:
            with closing(pypdfium2.PdfDocument(content)) as pdf:
                return len(pdf)
        except pypdfium2.PdfiumError:
            return 0


def picture_of(content: bytes, number: int) -> bytes | None:
    """A page as PNG, counted from 1; None when there is no such page."""
    with _ONE:
        try:
            with closing(pypdfium2.PdfDocument(content)) as pdf:
                pdf.init_forms()
                page = pdf[number - 1]
                width, height = page.get_width(), page.get_height()
                scale = min(WIDTH / max(width, 1.0), (MAX_PIXELS / max(width * height, 1.0)) ** 0.5)
                into = BytesIO()
                page.render(scale=scale).to_pil().save(into, "PNG")
                return into.getvalue()
        except (pypdfium2.PdfiumError, IndexError):
            return None
