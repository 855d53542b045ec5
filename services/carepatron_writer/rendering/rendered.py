"""What a document becomes for a platform, and what can be said of that without making a PDF."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.carepatron_writer.rendering.text import render_text
from shared.canonical.elements import Attachment
from shared.canonical.models import HealthcareDocument

TEXT = "text/plain"


@dataclass(frozen=True, slots=True)
class Rendered:
    """The bytes for a platform. `warnings`: codes of what is not as it came.

    file_missing (the source did not send it), file_not_attached (no room), pages_not_shown (no room, too many, damaged or locked),
    text_cut (all of it is attached), characters_spelled_out (as it came in the attached text), rendered_as_text (no PDF could be made).
    """

    content: bytes
    media_type: str
    warnings: tuple[str, ...] = ()


def without_pdf(document: HealthcareDocument, files: Mapping[str, bytes], media_types: Sequence[str], *warnings: str) -> Rendered | None:
    """The document where no PDF is taken or can be made: its text, else its first file that the platform takes."""
    usable = usable_files(document, files, media_types)
    is_text = is_readable(document)
    if len(usable) > (0 if is_text else 1):
        warnings = (*warnings, "file_not_attached")
    if is_text:
        return Rendered(render_text(document), TEXT, warnings)
    return Rendered(files[usable[0].sha256 or ""], bare(usable[0].media_type), warnings) if usable else None


def lone_file(document: HealthcareDocument, media_types: Sequence[str]) -> Attachment | None:
    """The only file, of a type that the platform takes, with nothing but text beside it."""
    content = document.content
    if len(content.attachments) != 1 or content.results or any((one.text or "").strip() for one in content.sections):
        return None
    file = content.attachments[0]
    return file if file.sha256 and bare(file.media_type) in media_types else None


def as_it_is(document: HealthcareDocument, files: Mapping[str, bytes], media_types: Sequence[str], max_bytes: int) -> Rendered | None:
    """The only file, where nobody has to look into it to know that it says everything; None otherwise."""
    lone = lone_file(document, media_types)
    data = files.get(lone.sha256 or "") if lone is not None else None
    if lone is None or data is None or (is_readable(document) and (bare(lone.media_type) != TEXT or len(data) > max_bytes)):
        return None
    return Rendered(data, bare(lone.media_type))


def is_readable(document: HealthcareDocument) -> bool:
    """Whether there is anything to render besides the title."""
    content = document.content
    return bool((content.text or "").strip() or content.results or any((one.text or "").strip() for one in content.sections))


def bare(media_type: str) -> str:
    """A media type without its parameters."""
    return media_type.partition(";")[0].strip().lower()


def usable_files(document: HealthcareDocument, files: Mapping[str, bytes], media_types: Sequence[str]) -> list[Attachment]:
    """Files that the platform would take, each of them once."""
    every = {one.sha256: one for one in document.content.attachments if one.sha256 in files and bare(one.media_type) in media_types}
    return list(every.values())
