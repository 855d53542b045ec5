"""FHIR codes: CodeableConcept, the CodeableReference of R5, the plain codes of earlier versions."""

from typing import Any

from services.normalizer.mappings.tables import load_table
from shared.canonical.elements import Coding
from shared.formats.fhir_tree import Resource, listed, objects, text_of

CODES: dict[str, dict[str, Any]] = load_table("fhir_codes")


def _unwrapped(concept: Any) -> Any:
    """The concept of a CodeableReference (R5); a mere reference is called what it shows."""
    if isinstance(concept, dict):
        if "concept" in concept:
            return concept["concept"]
        if isinstance(reference := concept.get("reference"), dict):
            return {"text": reference.get("display")}
    return concept


def read_coding(coding: Any) -> Coding | None:
    """A Coding."""
    if not isinstance(coding, dict):
        return None
    made = Coding(text_of(coding.get("system")), text_of(coding.get("code")), text_of(coding.get("display")))
    return made if made.code or made.display else None


def read_concept(concept: Any) -> Coding | None:
    """A CodeableConcept: the first coding, the others as translations; text alone becomes the display."""
    concept = _unwrapped(concept)
    if isinstance(concept, str):
        return Coding(None, None, text) if (text := text_of(concept)) else None
    if not isinstance(concept, dict):
        return None
    codings = [made for one in listed(concept.get("coding")) if (made := read_coding(one))]
    text = text_of(concept.get("text"))
    if not codings:
        return Coding(None, None, text) if text else None
    first, *others = codings
    first.display = first.display or text
    first.translations = others
    return first


def read_code(concept: Any) -> Coding | None:
    """A CodeableConcept as far as it is coded; beside it stands `concept_text`. A coding without a code gives way to one that has it."""
    found = read_concept(concept)
    if found is None or found.code:
        return found
    first = next((one for one in found.translations if one.code), None)
    if first is not None:
        first.display = first.display or found.display
        first.translations = [one for one in found.translations if one is not first]
    return first


def concept_text(concept: Any) -> str | None:
    """What a concept is called by its sender, else its code."""
    return concept_name(concept) or ((code := read_concept(concept)) and code.code) or None


def concept_name(concept: Any) -> str | None:
    """What a concept is called by its sender; a bare code is no name."""
    concept = _unwrapped(concept)
    if isinstance(concept, dict) and (text := text_of(concept.get("text"))):
        return text
    code = read_concept(concept)
    return next((one.display for one in (code, *code.translations) if one.display), None) if code else None


def codes_of(concept: Any) -> set[str]:
    """The codes of a concept's codings."""
    concept = _unwrapped(concept)
    codings = objects(concept.get("coding")) if isinstance(concept, dict) else []
    return {code for one in codings if (code := text_of(one.get("code")))}


def status_code(resource: Resource, field: str) -> str | None:
    """The code of a status that is a concept (R4) or a code (STU3)."""
    value = resource.get(field)
    if isinstance(value, str):
        return text_of(value)
    code = read_concept(value)
    return code.code if code else None
