"""FHIR JSON as far as two services need it: recognising, splitting, and a light look at who and which document."""

from shared.canonical.reading import ProviderProfile
from shared.formats import LightLook
from shared.formats.fhir_identity import identify, parts_of
from shared.formats.fhir_json import BLANK, NotJson, decode
from shared.formats.fhir_split import split_resources
from shared.formats.fhir_subjects import Subjects
from shared.formats.fhir_tree import Resource, kind_of, objects, plant, text_of
from shared.formats.wide import narrow

__all__ = ["is_fhir", "light_identity", "split_resources"]


def is_fhir(content: bytes) -> bool:
    """Whether it looks like FHIR JSON or ndjson: objects that say resourceType somewhere (some writers sort names, large ones first)."""
    content = narrow(content)
    return content[:4096].lstrip(BLANK).startswith((b"{", b"[")) and b'"resourceType"' in content


def light_identity(content: bytes, provider: ProviderProfile) -> LightLook:
    """Whose it is, and which document comes first in which version: what the reader says too. Never raises."""
    try:
        root = decode(content)
    except NotJson:
        return LightLook()
    if not isinstance(root, dict) or not kind_of(root):
        return LightLook()
    tree = plant(root)
    subjects = Subjects(tree)
    principal = subjects.principal()
    who = subjects.who(principal, provider) if principal else None
    documents = parts_of(tree).documents
    first = identify(documents[0], tree, provider) if documents else None
    return LightLook(
        who.key if who else None,
        first.document_id if first else None,
        _number_of(root) if kind_of(root) == "Bundle" else None,
        first.source_version if first else None,
    )


def _number_of(bundle: Resource) -> str | None:
    """The sender's number of a bundle."""
    numbers = (text_of(one.get("value")) for one in objects(bundle.get("identifier")))
    return next((one for one in numbers if one), None) or text_of(bundle.get("id"))
