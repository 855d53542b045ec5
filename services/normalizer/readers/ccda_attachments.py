"""Files inside a CDA: the unstructured body, and base64 anywhere in the entries."""

import binascii
from base64 import b64decode

from lxml import etree

from services.normalizer.readers.ccda_context import Context
from services.normalizer.readers.ccda_narrative import render, render_inline
from services.normalizer.readers.texts import media_type_of, plain_text
from shared.canonical.elements import Attachment
from shared.formats.cda_tree import CDA, V3, Element, attribute, child, descend, local_name
from shared.identity import digest

_MARKED = etree.XPath("descendant-or-self::*[@representation or @mediaType]")
_DEFAULT_MEDIA_TYPE = "text/plain"  # of HL7 ED
_UNKNOWN_MEDIA_TYPE = "application/octet-stream"
_MARKED_UP = ("text/html", "application/xhtml+xml", "text/rtf", "application/rtf")


def read_attachments(cda: CDA, context: Context, files: dict[str, bytes]) -> tuple[list[Attachment], str | None]:
    """The attachments, their bytes into `files`, and the text of an unstructured body where it has one."""
    attachments: list[Attachment] = []
    body_text: str | None = None
    captions = _captions(cda)
    body = _unstructured(cda)
    marked = _marked(cda)
    if body is not None and body.get("representation") != "B64":
        body_text = _written(body)
        if body not in marked:  # without a media type
            marked.insert(0, body)
    _name_outside(marked, captions, attachments, context)
    for element in marked:
        if element.get("representation") != "B64":
            continue
        context.where = _where(element)
        content = _decode(element, context)
        if content is None:
            continue
        declared = attribute(element, "mediaType") or _DEFAULT_MEDIA_TYPE
        media_type = media_type_of(content, declared)
        if media_type != declared.partition(";")[0].strip().lower():
            context.warn("media_type_differs")
        sha256 = digest(content)
        if sha256 not in files:
            files[sha256] = content
            attachments.append(Attachment(media_type, len(content), sha256, _title(element, captions)))
        if element is body:
            body_text = plain_text(content, media_type)
    return attachments, body_text


def _marked(cda: CDA) -> list[Element]:
    found = _MARKED(cda.root)
    return [one for one in found if isinstance(one, etree._Element)] if isinstance(found, list) else []


def _name_outside(elements: list[Element], captions: dict[str, str], attachments: list[Attachment], context: Context) -> None:
    """Files that lie elsewhere: the body, or what names a media type, refers to no place in the narrative. Named, never fetched."""
    known: set[str] = set()
    for element in elements:
        reference = attribute(child(element, "reference"), "value")
        if reference is None or reference.startswith("#") or reference in known or element.get("representation") == "B64":
            continue
        known.add(reference)
        media_type = attribute(element, "mediaType") or _UNKNOWN_MEDIA_TYPE
        attachments.append(Attachment(media_type.lower(), title=_title(element, captions), url=reference))
        context.where = _where(element)
        context.warn("attachment_not_included")


def _written(body: Element) -> str | None:
    """The text of a body that is not base64; mark-up that was written as text is taken off."""
    media_type = (attribute(body, "mediaType") or "").lower()
    if media_type in _MARKED_UP and not any(local_name(one) != "reference" for one in body):
        return plain_text("".join(str(one) for one in body.itertext()).encode(), media_type)
    return render(body)


def _unstructured(cda: CDA) -> Element | None:
    if cda.is_fragment:
        root = cda.root if local_name(cda.root) == "nonXMLBody" else child(cda.root, "nonXMLBody")
        return descend(root, "text")
    return descend(cda.root, "component", "nonXMLBody", "text")


def _decode(element: Element, context: Context) -> bytes | None:
    if element.get("compression"):
        context.warn("attachment_compressed")  # never inflated: a small text may become gigabytes
        return None
    text = "".join((element.text or "").split())
    if not text:
        return None
    try:
        return b64decode(text + "=" * (-len(text) % 4), validate=True) or None
    except (binascii.Error, ValueError):
        context.warn("attachment_not_understood")
        return None


def _where(element: Element) -> str:
    path = [local_name(element)]
    path += [local_name(one) for one in element.iterancestors()]
    return "/".join(reversed(path[:6]))


def _captions(cda: CDA) -> dict[str, str]:
    """What the narrative says beneath its media, by the ID of the media."""
    found: dict[str, str] = {}
    for one in cda.root.iter(V3 + "renderMultiMedia"):
        caption = child(one, "caption")
        if caption is not None and (text := render_inline(caption)):
            found |= dict.fromkeys((attribute(one, "referencedObject") or "").split(), text)
    return found


def _title(element: Element, captions: dict[str, str]) -> str | None:
    """The caption of a medium of the narrative, else the name of the nearest code around."""
    holder = element.getparent()
    if holder is not None and (caption := captions.get(holder.get("ID") or "")):
        return caption
    code = next((found for one in element.iterancestors() if (found := child(one, "code")) is not None), None)
    return attribute(code, "displayName")
