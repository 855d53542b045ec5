"""Files inside a CDA: the unstructured body, and base64 anywhere in the entries."""

import binascii
from base64 import b64decode

from lxml import etree

from services.normalizer.readers.ccda_narrative import render
from services.normalizer.readers.ccda_values import Context
from services.normalizer.readers.other import media_type_of, plain_text
from shared.canonical.elements import Attachment
from shared.formats.cda_tree import CDA, Element, attribute, child, descend, local_name
from shared.identity import digest

_BASE64 = etree.XPath("//*[@representation='B64']")
_DEFAULT_MEDIA_TYPE = "text/plain"  # of HL7 ED


def read_attachments(cda: CDA, context: Context, files: dict[str, bytes]) -> tuple[list[Attachment], str | None]:
    """The attachments, their bytes into `files`, and the text of an unstructured body where it has one."""
    attachments: list[Attachment] = []
    body_text: str | None = None
    body = _unstructured(cda)
    if body is not None and body.get("representation") != "B64":
        body_text = render(body)
        reference = attribute(child(body, "reference"), "value")
        if reference is not None and not reference.startswith("#"):
            attachments.append(Attachment(attribute(body, "mediaType") or "application/octet-stream", url=reference))
    found = _BASE64(cda.root)
    for element in found if isinstance(found, list) else ():
        if not isinstance(element, etree._Element):
            continue
        context.where = _where(element)
        content = _decode(element, context)
        if content is None:
            continue
        declared = attribute(element, "mediaType") or _DEFAULT_MEDIA_TYPE
        media_type = media_type_of(content, declared)
        if media_type != declared.lower():
            context.warn("media_type_differs")
        sha256 = digest(content)
        if sha256 not in files:
            files[sha256] = content
            attachments.append(Attachment(media_type, len(content), sha256, _title(element)))
        if element is body:
            body_text = plain_text(content, media_type)
    return attachments, body_text


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


def _title(element: Element) -> str | None:
    code = next((found for one in element.iterancestors() if (found := child(one, "code")) is not None), None)
    return attribute(code, "displayName")
