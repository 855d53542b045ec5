"""Which files of a document go into its PDF, as attachments and as pages, and what is said of those that do not."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.carepatron_writer.rendering.characters import Characters
from services.carepatron_writer.rendering.originals import NOT_SHOWN, Original, Picture, drawn, too_large
from services.carepatron_writer.rendering.pdf import Press
from services.carepatron_writer.rendering.sheet import FULL_TEXT, Sheet, showable

OWN_BYTES = 300_000  # what a PDF needs beside its files, at first guess: fonts and pages
_MEDIA_TYPE = re.compile(r"[a-z0-9]+/[a-z0-9.+-]+")


@dataclass(frozen=True, slots=True)
class Step:
    """How much of the files goes in."""

    is_shown: bool
    attached: frozenset[str]  # by name


def steps(originals: Sequence[Original], max_bytes: int) -> Iterator[Step]:
    """All, then without pages, then without the largest files, then without any. Hopeless steps are left out."""
    sizes = {one.name: len(one.data) for one in originals if one.data is not None}
    every = frozenset(sizes)
    if sizes and sum(sizes.values()) <= max_bytes:
        if any(one.pictures for one in originals):
            yield Step(True, every)
        yield Step(False, every)
    room, kept = max_bytes - OWN_BYTES, set[str]()
    for name, size in sorted(sizes.items(), key=lambda pair: pair[1]):
        if size <= room:
            kept.add(name)
            room -= size
    if kept and kept != every:
        yield Step(False, frozenset(kept))
    yield Step(False, frozenset())


def left_out(originals: Sequence[Original], step: Step) -> Iterator[str]:
    """Codes of what is not in the PDF."""
    for one in originals:
        if one.data is None:
            yield "file_not_attached" if one.attachment.sha256 else "file_missing"
            continue
        if one.name not in step.attached:
            yield "file_not_attached"
        if one.note or (one.pages and not step.is_shown):
            yield "pages_not_shown"


def check_pictures(press: Press, originals: Sequence[Original]) -> None:
    """Leave out what typst cannot show, or draw it another way: one broken page must not cost the document."""
    for one in originals:
        if all(press.opens(picture.data, picture.media, picture.page) for picture in one.pictures):
            continue
        one.pictures = [picture for picture in drawn(one) if press.opens(picture.data, picture.media, picture.page)]
        if not one.pictures:
            one.note = NOT_SHOWN


def enclosed(originals: Sequence[Original], step: Step, text: bytes | None, characters: Characters) -> tuple[Sheet, dict[str, bytes]]:
    """The sheet's files, attachments and pages, and their bytes by the names that it calls them. `text` is attached too."""
    listed: list[dict[str, str]] = []
    attachments: list[dict[str, str]] = []
    pages: list[Sheet] = []
    bytes_: dict[str, bytes] = {}
    if text is not None:
        attachments.append(_attachment(FULL_TEXT, "text/plain", "alternative"))
        bytes_[FULL_TEXT] = text
    for one in originals:
        note = one.note
        if one.data is not None and one.name in step.attached:
            attachments.append(_attachment(one.name, one.media_type, "source"))
            bytes_[one.name] = one.data
            note = f"Attached as {one.name}. {note}".strip()
        elif one.data is not None:
            note = too_large(one.attachment)
        listed.append({"label": one.label, "note": note})
        for number, picture in enumerate(one.pictures if step.is_shown else (), 1):
            name = _name_of(picture, f"{one.name}-{number}", bytes_)
            bytes_[name] = picture.data
            caption = f"{one.label}, page {number} of {one.pages}"
            pages.append({"file": name, "format": picture.media, "page": picture.page, "caption": caption, "alt": f"Page {number}"})
    shown = {"files": showable(listed, characters), "attachments": attachments}
    return {**shown, "pages": [{**one, "caption": showable(one["caption"], characters)} for one in pages]}, bytes_


def _name_of(picture: Picture, name: str, bytes_: Mapping[str, bytes]) -> str:
    """The name of these bytes: those that have one already keep it."""
    return next((known for known, data in bytes_.items() if data is picture.data), name)


def _attachment(name: str, media_type: str, relationship: str) -> dict[str, str]:
    media_type = media_type if _MEDIA_TYPE.fullmatch(media_type) else "application/octet-stream"
    return {"name": name, "file": name, "media_type": media_type, "description": name, "relationship": relationship}
