"""What a document becomes for a platform: its only file as it is, else a PDF with everything, else text. Never an exception for content."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from services.carepatron_writer.rendering.characters import Characters, UncoveredScript
from services.carepatron_writer.rendering.originals import Original, Picture, add_pictures, drawn, originals_of, text_in
from services.carepatron_writer.rendering.pdf import NotMade, Press
from services.carepatron_writer.rendering.sheet import FULL_TEXT, Sheet, sheet_of, showable, texts_in
from services.carepatron_writer.rendering.text import render_text
from services.carepatron_writer.rendering.words import clean, folded, unsaid
from shared.canonical.elements import Attachment
from shared.canonical.models import HealthcareDocument

PDF = "application/pdf"
TEXT = "text/plain"
OWN_BYTES = 300_000  # what a PDF needs beside its files, at first guess: fonts and pages


@dataclass(frozen=True, slots=True)
class Rendered:
    """The bytes for a platform. `warnings`: codes of what is not as it came.

    file_missing (we do not have its bytes), file_not_attached (no room), pages_not_shown (no room, too many, damaged or locked),
    text_cut (all of it is attached), characters_spelled_out (as it came in the attached text), rendered_as_text (no PDF could be made).
    """

    content: bytes
    media_type: str
    warnings: tuple[str, ...] = ()


def render(
    document: HealthcareDocument,
    files: Mapping[str, bytes],
    *,
    media_types: Sequence[str],
    max_bytes: int,
    shows_files: bool = True,
) -> Rendered | None:
    """The document for a platform that takes these media types and so many bytes; `files` by their digest. None: there is nothing to show.

    The same arguments make the same bytes. What is too large is left out step by step: pages of files, files, the PDF. Only a lone
    file, or text, may be larger than `max_bytes`.
    """
    lone = lone_file(document, media_types)
    data = files.get(lone.sha256 or "") if lone is not None else None
    if lone is not None and data is not None:
        is_enough = _is_all_in(document, data, bare(lone.media_type))
        if is_enough and (len(data) <= max_bytes or not is_readable(document)):
            return Rendered(data, bare(lone.media_type))
    if PDF not in media_types:
        return _without_pdf(document, files, media_types)
    originals = originals_of(document.content.attachments, files)
    if shows_files:
        add_pictures(originals)
    if not is_readable(document) and not any(one.pictures for one in originals):
        return _without_pdf(document, files, media_types)
    try:
        made = _pdf(document, originals, max_bytes)
    except (UncoveredScript, NotMade):
        made = None
    return made or as_text(document)


def as_text(document: HealthcareDocument) -> Rendered:
    """The document when no PDF can be made of it."""
    is_file_left = any(one.sha256 for one in document.content.attachments)
    return Rendered(render_text(document), TEXT, ("rendered_as_text", *(("file_not_attached",) if is_file_left else ())))


def lone_file(document: HealthcareDocument, media_types: Sequence[str]) -> Attachment | None:
    """The only file, of a type that the platform takes, with nothing but text beside it."""
    content = document.content
    if len(content.attachments) != 1 or content.results or any((one.text or "").strip() for one in content.sections):
        return None
    file = content.attachments[0]
    return file if file.sha256 and bare(file.media_type) in media_types else None


def is_readable(document: HealthcareDocument) -> bool:
    """Whether there is anything to render besides the title."""
    content = document.content
    return bool((content.text or "").strip() or content.results or any((one.text or "").strip() for one in content.sections))


def bare(media_type: str) -> str:
    """A media type without its parameters."""
    return media_type.partition(";")[0].strip().lower()


@cache
def _press() -> Press:
    """One for each process."""
    return Press()


def _is_all_in(document: HealthcareDocument, data: bytes, media_type: str) -> bool:
    """Whether the file says what the document says; mostly the text was read from it."""
    text = clean(document.content.text or "")
    if not text or media_type == TEXT:
        return True
    in_file = text_in(data, media_type)
    return folded(in_file).startswith(folded(text)) or not unsaid(text, (in_file,))


def _without_pdf(document: HealthcareDocument, files: Mapping[str, bytes], media_types: Sequence[str]) -> Rendered | None:
    if is_readable(document):
        return Rendered(render_text(document), TEXT)
    usable = [one for one in document.content.attachments if one.sha256 in files and bare(one.media_type) in media_types]
    if not usable:
        return None
    return Rendered(files[usable[0].sha256 or ""], bare(usable[0].media_type), ("file_not_attached",) if len(usable) > 1 else ())


def _pdf(document: HealthcareDocument, originals: list[Original], max_bytes: int) -> Rendered | None:
    """The PDF with as much of its files as there is room for; None when even nothing of them fits."""
    press = _press()
    sheet, is_cut = sheet_of(document, originals)
    characters = Characters(press.shows, press.known)
    characters.learn(texts_in([sheet, [(one.label, one.note) for one in originals]]))
    base = showable(sheet, characters)
    text = render_text(document) if is_cut or characters.is_spelled_out else None
    _check(press, originals)
    for shown, attached in _steps(originals, max_bytes):
        warnings = [code for code, holds in (("text_cut", is_cut), ("characters_spelled_out", characters.is_spelled_out)) if holds]
        warnings += _left_out(originals, shown, attached)
        parts, bytes_ = _file_parts(originals, shown, attached, text, characters)
        content = press.make({**base, **parts}, bytes_)
        if len(content) <= max_bytes:
            return Rendered(content, PDF, tuple(dict.fromkeys(warnings)))
    return None


def _check(press: Press, originals: Sequence[Original]) -> None:
    """Leave out what typst cannot show, or draw it another way: one broken page must not cost the document."""
    for one in originals:
        if all(press.opens(picture.data, picture.media, picture.page) for picture in one.pictures):
            continue
        one.pictures = [picture for picture in drawn(one) if press.opens(picture.data, picture.media, picture.page)] if one.pages else []
        if not one.pictures:
            one.note = "It could not be shown here: it is damaged. It is attached as it came."


def _steps(originals: Sequence[Original], max_bytes: int) -> Iterator[tuple[bool, set[str]]]:
    """Whether pages are shown, and which files are attached: all, no pages, not the largest files, none. Hopeless steps are left out."""
    sizes = {one.name: len(one.data) for one in originals if one.data is not None}
    shown = {id(picture.data): len(picture.data) for one in originals for picture in one.pictures}
    every = set(sizes)
    if shown and sum(sizes.values()) + sum(shown.values()) * 0.5 <= max_bytes:
        yield True, every
    if sum(sizes.values()) <= max_bytes:
        yield False, every
    room, kept = max_bytes - OWN_BYTES, set[str]()
    for name, size in sorted(sizes.items(), key=lambda pair: pair[1]):
        if size <= room:
            kept.add(name)
            room -= size
    if kept and kept != every:
        yield False, kept
    if every:
        yield False, set()


def _left_out(originals: Sequence[Original], is_shown: bool, attached: set[str]) -> Iterator[str]:
    for one in originals:
        if one.data is None:
            yield "file_missing"
        elif one.name not in attached:
            yield "file_not_attached"
        if one.data is not None and (one.pages or one.note) and (not is_shown or len(one.pictures) < one.pages or not one.pictures):
            yield "pages_not_shown"


def _file_parts(
    originals: Sequence[Original], is_shown: bool, attached: set[str], text: bytes | None, characters: Characters
) -> tuple[Sheet, dict[str, bytes]]:
    """The sheet's files, and their bytes by the names that it calls them."""
    listed, attachments, pages = [], [], []
    bytes_: dict[str, bytes] = {}
    if text is not None:
        attachments.append(_attachment(FULL_TEXT, TEXT, "alternative"))
        bytes_[FULL_TEXT] = text
    for one in originals:
        note = one.note
        if one.data is not None and one.name in attached:
            attachments.append(_attachment(one.name, one.media_type, "source"))
            bytes_[one.name] = one.data
            note = f"Attached as {one.name}. {note}".strip()
        elif one.data is not None:
            note = f"Not attached, it is too large for here; it lies with the source. SHA-256 {one.attachment.sha256}"
        listed.append({"label": one.label, "note": note})
        for number, picture in enumerate(one.pictures if is_shown else (), 1):
            name = _name_of(picture, one, number, bytes_)
            bytes_[name] = picture.data
            caption = f"{one.label}, page {number} of {one.pages}"
            pages.append({"file": name, "format": picture.media, "page": picture.page, "caption": caption, "alt": f"Page {number}"})
    parts: dict[str, Any] = {"files": showable(listed, characters), "attachments": attachments}
    return {**parts, "pages": [{**one, "caption": showable(one["caption"], characters)} for one in pages]}, bytes_


def _name_of(picture: Picture, original: Original, number: int, bytes_: Mapping[str, bytes]) -> str:
    """A name for the picture's bytes: those that are there already keep theirs."""
    known = next((name for name, data in bytes_.items() if data is picture.data), None)
    return known or f"{original.name}-{number}"


def _attachment(name: str, media_type: str, relationship: str) -> dict[str, str]:
    return {"name": name, "file": name, "media_type": media_type, "description": name, "relationship": relationship}
