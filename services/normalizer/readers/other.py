"""Files that are read for their text only: PDF, image, RTF, plain text, HTML. One document each, known by its bytes."""

import warnings
from dataclasses import dataclass, field
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from services.normalizer.document_types import title_of
from services.normalizer.readers.pdfs import MAX_TEXT, UnreadablePdf, read_pdf
from services.normalizer.readers.texts import UnreadableText, read_rtf, read_text
from shared.canonical.elements import Attachment, Content, Source
from shared.canonical.reading import DocumentReading, Format, ProviderProfile, Reading, Warning, rejected
from shared.formats.files import light_identity
from shared.formats.recognise import image_media_type
from shared.identity import digest
from shared.outcomes import Reason

_IMAGES = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP")


class _Refused(Exception):
    """The file cannot be read; caught in this module."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(slots=True)
class _Read:
    """What a file says about itself."""

    media_type: str
    text: str | None = None
    title: str | None = None
    size: str | None = None  # of an image, in words
    warnings: list[Warning] = field(default_factory=list)


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
    except UnreadablePdf as refusal:
        return rejected(format, refusal.reason)
    except UnreadableText:
        return rejected(format, Reason.MALFORMED_DOCUMENT)
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
            pdf = read_pdf(content)
            return _Read("application/pdf", pdf.text, pdf.title, warnings=pdf.warnings)
        case "image":
            return _read_image(content)
        case "rtf" | "text":
            text = read_rtf(content) if format == "rtf" else read_text(content, media_type)
            guessed = [Warning("charset_guessed")] if text.is_guessed else []
            return _Read(text.media_type, text.text, text.title, warnings=guessed)
        case "unknown":
            raise _Refused(Reason.UNKNOWN_FORMAT)
    raise _Refused(Reason.UNSUPPORTED_CONTENT)


def _clean(text: str | None) -> str | None:
    """One line without control characters."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split()) or None if text else None


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
