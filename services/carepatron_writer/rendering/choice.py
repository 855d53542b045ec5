"""Which files of a document are wanted, which one goes as it is, and the facts that go with the bytes."""

from collections.abc import Sequence
from typing import Any

from services.carepatron_writer.platforms.port import Upload
from services.carepatron_writer.rendering.rendered import Rendered, bare, is_readable, lone_file
from services.carepatron_writer.rendering.summary import abnormal_lines, dietary_lines
from services.carepatron_writer.rendering.words import clean, title_of
from shared.canonical.elements import Attachment, Coding
from shared.canonical.models import HealthcareDocument
from shared.identity import digest

RENDERING = 2  # counts changes of what is rendered (a new typst makes other bytes too); a replay then updates what was written before


def platform_version(version: str) -> str:
    """The version that platforms compare: the event's, then how we render it. A full stop sorts before every further part."""
    return f"{version}.{RENDERING:02d}"


def choose_file(document: HealthcareDocument, media_types: Sequence[str]) -> Attachment | None:
    """The attachment that may go as it is: the only one, with nothing but text beside it, or the first where nothing is readable."""
    usable = [one for one in document.content.attachments if bare(one.media_type) in media_types and one.sha256]
    return lone_file(document, media_types) or (usable[0] if usable and not is_readable(document) else None)


def wanted_files(document: HealthcareDocument, max_bytes: int) -> tuple[Attachment, ...]:
    """The attachments whose bytes `render` can use, once each, in their order; together no more than a platform takes.

    A document's only file is wanted whatever its size: it goes as it is, or is refused as too large.
    """
    if len(document.content.attachments) == 1:
        return tuple(one for one in document.content.attachments if one.sha256)
    wanted: dict[str, Attachment] = {}
    room = max_bytes
    for one in document.content.attachments:
        if one.sha256 and one.sha256 not in wanted and (one.size or 0) <= room:
            wanted[one.sha256] = one
            room -= one.size or 0
    return tuple(wanted.values())


def upload_of(document: HealthcareDocument, version: str, rendered: Rendered) -> Upload:
    """The document made ready, with what a platform shows beside the bytes."""
    replaced = next((one.target for one in document.relations if one.kind == "replaces"), None)
    return Upload(
        document_id=str(document.id),
        version=platform_version(version),
        type=str(document.type),
        type_coding=_coding(document.type_coding),
        title=title_of(document),
        date=document.date,
        authors=tuple(one for one in map(clean, document.authors) if one),
        source={
            "kind": "primary_healthcare_provider" if document.source.kind == "provider" else "user",
            "organization": document.source.organization,
            "system": document.source.system,
        },
        status=document.status if document.status in ("current", "preliminary", "superseded") else "current",
        supersedes=replaced,
        dietary=dietary_lines(document),
        abnormal=abnormal_lines(document),
        media_type=rendered.media_type,
        content=rendered.content,
        sha256=digest(rendered.content),
    )


def _coding(coding: Coding | None) -> dict[str, Any] | None:
    if coding is None or not (coding.code or coding.display):
        return None
    return {"system": coding.system, "code": coding.code, "display": coding.display}
