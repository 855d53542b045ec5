"""Attachments: bytes that came along are kept, a url is noted and never fetched."""

import base64
import binascii
import re

from services.normalizer.readers.embedded import may_be_cda, unfold_cda
from services.normalizer.readers.fhir_values import Context
from services.normalizer.readers.texts import media_type_of, plain_text
from shared.canonical.elements import Attachment, Content
from shared.formats.fhir_tree import Resource, kind_of, listed, text_of
from shared.identity import digest

DEFAULT = "application/octet-stream"
_INLINE = re.compile(r"data:([^,;]*)(?:;[^,;]+)*?;base64,(.*)", re.DOTALL)  # RFC 2397


def attach_all(values: object, holder: Resource, element: str, content: Content, context: Context) -> None:
    """Several attachments of one element."""
    place = context.tree.place(holder)
    texts = [
        text for number, one in enumerate(listed(values)) for text in _attach(one, holder, f"{place}.{element}[{number}]", content, context)
    ]
    _add(texts, content)


def attach_contents(reference: Resource, content: Content, context: Context) -> None:
    """The files of a DocumentReference: the same document in several formats. A second reference to it gives nothing new."""
    if id(reference) in context.used:
        return
    context.used.add(id(reference))
    place = context.tree.place(reference)
    texts: list[str] = []
    for number, one in enumerate(listed(reference.get("content"))):
        attachment = one.get("attachment") if isinstance(one, dict) else one
        if attachment is None:
            context.warn("attachment_empty", f"{place}.content[{number}]")
        else:
            texts += _attach(attachment, reference, f"{place}.content[{number}].attachment", content, context)
    _add(texts, content)


def attach(attachment: object, holder: Resource, place: str, content: Content, context: Context) -> None:
    """Put one Attachment into a document's content, its text too when it is text."""
    _add(_attach(attachment, holder, place, content, context), content)


def _add(texts: list[str], content: Content) -> None:
    """Put texts behind the text that is there; a text that comes in two formats is read once."""
    content.text = "\n\n".join(dict.fromkeys(one for one in (content.text, *texts) if one)) or None


def _attach(attachment: object, holder: Resource, place: str, content: Content, context: Context) -> list[str]:
    """Put one Attachment into a document's content; what is to be read in it is given back."""
    if not isinstance(attachment, dict):
        context.warn("attachment_not_understood", place)
        return []
    declared, title, url, encoded = (text_of(attachment.get(name)) for name in ("contentType", "title", "url", "data"))
    if encoded is None and url and (inline := _INLINE.fullmatch(url)):
        declared, encoded, url = inline[1] or declared, inline[2], None
    binary = context.tree.named(url, holder) if encoded is None and url else None
    if binary is not None and kind_of(binary) == "Binary":
        if id(binary) in context.used:
            return []
        context.used.add(id(binary))
        encoded = text_of(binary.get("data") or binary.get("content"))
        declared = text_of(binary.get("contentType")) or declared
    if encoded is None:
        if url:
            size = text_of(attachment.get("size"))
            number = int(size) if size and size.isascii() and size.isdigit() and len(size) < 16 else None
            content.attachments.append(Attachment(_bare(declared), number, None, title, url))
        context.warn("attachment_not_included" if url else "attachment_empty", place)
        return []
    data = _decode(encoded)
    if data is None:
        context.warn("attachment_not_understood", f"{place}.data")
        return []
    sha256 = digest(data)
    media_type = media_type_of(data, declared or DEFAULT)
    if declared and media_type != _bare(declared):
        context.warn("media_type_differs", place)
    context.reading.files[sha256] = data
    content.attachments.append(Attachment(media_type, len(data), sha256, title, url))
    return _texts_in(data, media_type, declared, place, content, context)


def _texts_in(data: bytes, media_type: str, declared: str | None, place: str, content: Content, context: Context) -> list[str]:
    """What can be read in a file. Sections, results and files of a CDA go to the content at once."""
    if may_be_cda(data, media_type):
        texts = unfold_cda(data, content, context.reading, context.provider)
        if texts is None:
            context.warn("attachment_not_read", place)
        return texts or []
    if media_type.endswith("/xml"):
        return []
    # the charset stands in what was declared, the type is what the bytes bear out
    parameters = (declared or "").partition(";")[2]
    text = plain_text(data, f"{media_type};{parameters}" if parameters and media_type.startswith("text/") else media_type)
    return [text] if text else []


def _decode(encoded: str) -> bytes | None:
    try:
        return base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def _bare(media_type: str | None) -> str:
    """A media type without parameters."""
    return (media_type or "").partition(";")[0].strip().lower() or DEFAULT
