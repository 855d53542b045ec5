"""The files of a document as parts of its PDF: attached byte for byte, and shown as pages where they are pictures of pages.

C libraries open foreign bytes here: in the service this runs in a process of its own (isolated.py).
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Literal

import pypdfium2
from PIL import Image, ImageSequence, UnidentifiedImageError
from pypdfium2 import raw

from services.carepatron_writer.rendering.words import clean, short, size_of
from shared.canonical.elements import Attachment

MAX_FILES = 100  # of the rest the number is said
MAX_PAGES = 40  # shown, of all files together; the rest is in the attached file
MAX_PIXELS = 40_000_000  # of a picture: an A4 page at 600 dpi
MAX_PAGE_PIXELS = 4_000_000  # of a page that has to be drawn
MAX_TEXT = 400_000
NOT_SHOWN = "It could not be shown here: it is damaged or locked."
NO_ROOM = "It is not shown here."
_PNG, _JPEG, _PDF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"%PDF-"  # the last within the first kilobyte
_DRAWN = ("TIFF", "GIF", "BMP", "WEBP")  # pictures that are drawn anew as PNG
_ENDINGS = {
    "application/pdf": "pdf",
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/tiff": "tif",
    "application/rtf": "rtf",
    "text/rtf": "rtf",
    "application/xml": "xml",
    "text/xml": "xml",
    "application/json": "json",
}
_BROKEN = (OSError, ValueError, SyntaxError, ArithmeticError, LookupError, TypeError, Image.DecompressionBombError)


@dataclass(frozen=True, slots=True)
class Picture:
    """A page to be shown."""

    data: bytes
    media: Literal["pdf", "png", "jpg"]
    page: int = 1


@dataclass(slots=True)
class Original:
    """A file of the source. Without data it is named only."""

    attachment: Attachment
    name: str  # neutral: what sources call their files may name people
    media_type: str
    data: bytes | None
    pages: int = 0
    pictures: list[Picture] = field(default_factory=list)
    note: str = ""

    @property
    def label(self) -> str:
        """How the document names it."""
        title = short(self.attachment.title or "") or "Untitled"
        pages = f"{self.pages} page{'s' if self.pages > 1 else ''}" if self.pages else ""
        size = size_of(self.attachment)
        facts = ", ".join(one for one in (self.media_type, pages, size) if one)
        return f"{title} ({facts})" if facts else title


def originals_of(attachments: Sequence[Attachment], files: Mapping[str, bytes]) -> list[Original]:
    """The files, each of them once, with their bytes where we have them; of very many the first."""
    found: dict[str, Original] = {}
    for number, one in enumerate(attachments, 1):
        media_type = one.media_type.partition(";")[0].strip().lower()
        data = files.get(one.sha256) if one.sha256 else None
        name = f"original-{number}.{_ENDINGS.get(media_type) or ('txt' if media_type.startswith('text/') else 'bin')}"
        note = ""
        if data is None and one.sha256:
            note = too_large(one)
        elif data is None:
            note = f"Not here: it lies at {clean(one.url)[:300]}" if one.url else "Not here: its content did not come with the document."
        key = one.sha256 or f"{number}"
        if (twin := found.get(key)) is not None:
            titles = dict.fromkeys(title for title in (twin.attachment.title, one.title) if title)
            twin.attachment = replace(twin.attachment, title="; ".join(titles) or None)
        else:
            found[key] = Original(one, name, media_type, data, note=note)
    every = list(found.values())
    if len(every) > MAX_FILES:
        rest = Attachment("", title=f"{len(every) - MAX_FILES} more files")
        every[MAX_FILES:] = [Original(rest, "", "", None, note="They stay with the source.")]
    return every


def too_large(file: Attachment) -> str:
    """What is said of a file for which there is no room."""
    return f"Not attached: it is too large for here and stays with the source. SHA-256 {file.sha256}"


def add_pictures(originals: Sequence[Original]) -> None:
    """Find the pages that can be shown, so many as a document may show."""
    room = MAX_PAGES
    for one in originals:
        if one.data is None:
            continue
        try:
            one.pages, pictures = _pictures(one.data, room)
        except (*_BROKEN, pypdfium2.PdfiumError):
            one.note = NOT_SHOWN
            continue
        one.pictures = pictures
        room -= len(pictures)
        if one.pages > len(pictures):
            one.note = f"Pages after {len(pictures)} are not shown here." if pictures else NO_ROOM


def leave_unseen(originals: Sequence[Original]) -> None:
    """Say of files with pages that they are not shown."""
    for one in originals:
        if one.data is not None and (one.media_type == "application/pdf" or one.media_type.startswith("image/")):
            one.note = NOT_SHOWN


def drawn(one: Original) -> list[Picture]:
    """The pages of a PDF as pictures, when typst cannot take it as it is; none when nobody can."""
    found: list[Picture] = []
    with suppress(*_BROKEN, pypdfium2.PdfiumError), closing(pypdfium2.PdfDocument(one.data)) as pdf:
        pdf.init_forms()
        for number in range(min(len(pdf), len(one.pictures))):
            page = pdf[number]
            scale = min(2.0, (MAX_PAGE_PIXELS / max(1.0, page.get_width() * page.get_height())) ** 0.5)
            found.append(Picture(_encoded(page.render(scale=scale).to_pil().convert("RGB"), "JPEG"), "jpg"))
    return found


def text_in(data: bytes, media_type: str) -> str:
    """The text of a file, so far as it has any."""
    if media_type == "text/plain":
        return clean(data[:MAX_TEXT].decode("utf-8", "replace"))
    if media_type != "application/pdf":
        return ""
    pages: list[str] = []
    with suppress(pypdfium2.PdfiumError), closing(pypdfium2.PdfDocument(data)) as pdf:
        for page in pdf:
            pages.append(str(page.get_textpage().get_text_bounded()).replace("\ufffe", "-"))
            if sum(map(len, pages)) > MAX_TEXT:
                break
    return clean("\n\n".join(pages))


def _pictures(data: bytes, room: int) -> tuple[int, list[Picture]]:
    """How many pages there are, and those that fit."""
    if _PDF in data[:1024]:
        return _pages(data, room)
    if not data.startswith((_PNG, _JPEG)):
        frames = list(_frames(data, room))
        return (frames[0][0] if frames else 0), [Picture(png, "png") for _, png in frames]
    width, height = _size(data)
    if width * height > MAX_PIXELS:
        raise ValueError
    return 1, [Picture(data, "png" if data.startswith(_PNG) else "jpg")][:room]


def _pages(data: bytes, room: int) -> tuple[int, list[Picture]]:
    """The pages of a PDF. Notes on them and what was filled into forms become part of the page; locks without a password are opened."""
    with closing(pypdfium2.PdfDocument(data)) as pdf:
        count, shown = len(pdf), min(len(pdf), room)
        pdf.init_forms()
        is_changed = raw.FPDF_GetSecurityHandlerRevision(pdf) != -1
        for number in range(shown):
            page = pdf[number]
            if raw.FPDFPage_GetAnnotCount(page) > 0:
                page.flatten()
                is_changed = True
        if is_changed:
            into = BytesIO()
            pdf.save(into, flags=raw.FPDF_REMOVE_SECURITY)
            data = into.getvalue()
    return count, [Picture(data, "pdf", number) for number in range(1, shown + 1)]


def _frames(data: bytes, room: int) -> Iterator[tuple[int, bytes]]:
    """The frames of a fax or another picture that typst does not know; none when it is no picture."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the size is looked at here
        try:
            image = Image.open(BytesIO(data), formats=_DRAWN)
        except UnidentifiedImageError:
            return
        with image:
            count = getattr(image, "n_frames", 1)
            for number, frame in enumerate(ImageSequence.Iterator(image)):
                if number >= (1 if image.format == "GIF" else room):  # a moving picture is shown by its first
                    return
                if frame.width * frame.height > MAX_PIXELS:
                    raise ValueError
                yield count, _encoded(frame if frame.mode in ("1", "L", "P", "RGB", "RGBA") else frame.convert("RGB"), "PNG")


def _size(data: bytes) -> tuple[int, int]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(BytesIO(data), formats=("PNG", "JPEG")) as image:
            return image.size


def _encoded(image: Image.Image, format: str) -> bytes:
    into = BytesIO()
    image.save(into, format)
    return into.getvalue()
