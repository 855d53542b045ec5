"""A document for a platform: its only file as it is, else a PDF with everything, else text. Never an exception for content."""

from collections.abc import Mapping, Sequence
from functools import cache

from services.carepatron_writer.rendering.characters import Characters, UncoveredScript
from services.carepatron_writer.rendering.enclosing import Step, check_pictures, enclosed, left_out, steps
from services.carepatron_writer.rendering.originals import Original, add_pictures, leave_unseen, originals_of, text_in
from services.carepatron_writer.rendering.pdf import NotMade, Press
from services.carepatron_writer.rendering.rendered import Rendered, as_it_is, bare, is_readable, lone_file, usable_files, without_pdf
from services.carepatron_writer.rendering.sheet import Sheet, sheet_of, showable, texts_in
from services.carepatron_writer.rendering.text import render_text
from services.carepatron_writer.rendering.words import clean, folded, unsaid
from shared.canonical.models import HealthcareDocument

PDF = "application/pdf"


def render(
    document: HealthcareDocument,
    files: Mapping[str, bytes],
    *,
    media_types: Sequence[str],
    max_bytes: int,
    rendering: str = "pdf",
    shows_files: bool = True,
) -> Rendered | None:
    """The document for a platform that takes these media types and so many bytes; `files` by their digest. None: there is nothing to show.

    The same arguments make the same bytes. What is too large is left out step by step: pages of files, files, the PDF; only a lone file,
    or text, may be larger than `max_bytes`. `rendering` is what the platform's profile says: pdf or text. Without
    `shows_files` no foreign file is looked into.
    """
    if (unseen := as_it_is(document, files, media_types, max_bytes)) is not None:
        return unseen
    makes_pdf = rendering == "pdf" and PDF in media_types
    lone = lone_file(document, media_types)
    data = files.get(lone.sha256 or "") if lone is not None else None
    if lone is not None and data is not None and len(data) <= max_bytes:
        media_type = bare(lone.media_type)
        if not makes_pdf or (shows_files and _is_all_in(document, data, media_type)):
            return Rendered(data, media_type)
    if not makes_pdf:
        return without_pdf(document, files, media_types)
    originals = originals_of(document.content.attachments, files)
    if shows_files:
        add_pictures(originals)
    else:
        leave_unseen(originals)
    usable = usable_files(document, files, media_types)
    if not is_readable(document) and not any(one.pictures for one in originals) and len(usable) < 2:
        return without_pdf(document, files, media_types)
    return _pdf(document, originals, max_bytes) or without_pdf(document, files, media_types, "rendered_as_text")


@cache
def _press() -> Press:
    """One for each process."""
    return Press()


def _is_all_in(document: HealthcareDocument, data: bytes, media_type: str) -> bool:
    """Whether the file says what the document says; mostly the text was read from it."""
    text, in_file = clean(document.content.text or ""), text_in(data, media_type)
    return folded(in_file).startswith(folded(text)) or not unsaid(text, (in_file,))


def _pdf(document: HealthcareDocument, originals: list[Original], max_bytes: int) -> Rendered | None:
    """The PDF with as much of its files as there is room for; None when none can be made, or not so small."""
    press = _press()
    sheet, is_cut, is_tagged = sheet_of(document, originals)
    characters = Characters(press.shows, press.known)
    try:
        characters.learn(texts_in([sheet, [(one.label, one.note) for one in originals]]))
    except UncoveredScript:
        return None
    base = {**showable(sheet, characters), "tagged": is_tagged}
    text = render_text(document) if is_cut or characters.is_spelled_out else None
    warnings = [code for code, holds in (("text_cut", is_cut), ("characters_spelled_out", characters.is_spelled_out)) if holds]
    for step in steps(originals, max_bytes):
        content = _made(press, base, originals, step, text, characters)
        if content is not None and len(content) <= max_bytes:
            return Rendered(content, PDF, tuple(dict.fromkeys([*warnings, *left_out(originals, step)])))
    return None


def _made(press: Press, base: Sheet, originals: list[Original], step: Step, text: bytes | None, characters: Characters) -> bytes | None:
    """The PDF of a step. Pages that typst cannot take are looked for when it has refused them all together."""
    for is_second in (False, True):
        if is_second:
            check_pictures(press, originals)
        parts, files = enclosed(originals, step, text, characters)
        try:
            return press.make({**base, **parts}, files)
        except NotMade:
            if not parts["pages"]:
                break
    return None
