"""Searches: tokens, strings and references as R4 defines them, pages, and only the elements that were asked for. Pure."""

import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from services.carepatron_writer.platforms.fhir_r4.sandbox.switches import Switches

Json = dict[str, Any]
SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
Params = Sequence[tuple[str, str]]
RESULT_PARAMETERS = ("_elements", "_count", "_summary", "_sort", "_format", "_total")


class UnknownParameter(Exception):
    """The server does not search by this."""


def matches(kind: str, resources: Sequence[Json], params: Params, switches: Switches) -> list[Json]:
    """The resources that meet all criteria. Raises UnknownParameter."""
    found = list(resources)
    for name, value in params:
        if name in RESULT_PARAMETERS:
            continue
        if name == "_lastUpdated" and switches.has_last_updated:
            continue
        test = _TESTS.get((kind, name)) or _TESTS.get(("*", name))
        if test is None or (kind == "Patient" and name not in ("_id", *switches.patient_searches)):
            raise UnknownParameter(name)
        found = [one for one in found if any(test(one, part) for part in value.split(","))]
    return found


def narrowed(resource: Json, elements: str | None, switches: Switches) -> Json:
    """Only the elements asked for, marked as such."""
    if not elements or not switches.honours_elements:
        return resource
    names = {*elements.split(","), "resourceType", "id", "meta"}
    kept = {name: value for name, value in resource.items() if name in names}
    return {**kept, "meta": {**kept.get("meta", {}), "tag": [*kept.get("meta", {}).get("tag", []), SUBSETTED]}}


def _token(identifiers: Sequence[Any], wanted: str) -> bool:
    system, bar, value = wanted.rpartition("|")
    for one in identifiers:
        if isinstance(one, dict) and (not bar or one.get("system") == system) and (not value or one.get("value") == value):
            return True
    return False


def _document_identifier(resource: Json, wanted: str) -> bool:
    """R4: the parameter covers masterIdentifier and identifier."""
    return _token([*resource.get("identifier", []), resource.get("masterIdentifier")], wanted)


def _patient_identifier(resource: Json, wanted: str) -> bool:
    return _token(resource.get("identifier", []), wanted)


def _subject(resource: Json, wanted: str) -> bool:
    reference = (resource.get("subject") or {}).get("reference")
    return reference in (wanted, f"Patient/{wanted}")


def _starts(texts: Sequence[Any], wanted: str) -> bool:
    return any(_folded(str(one)).startswith(_folded(wanted)) for one in texts if one)


def _family(resource: Json, wanted: str) -> bool:
    return _starts([one.get("family") for one in resource.get("name", [])], wanted)


def _given(resource: Json, wanted: str) -> bool:
    return _starts([given for one in resource.get("name", []) for given in one.get("given", [])], wanted)


def _email(resource: Json, wanted: str) -> bool:
    return any(_folded(one.get("value", "")) == _folded(wanted) for one in resource.get("telecom", []) if one.get("system") == "email")


def _name(resource: Json, wanted: str) -> bool:
    return _family(resource, wanted) or _given(resource, wanted) or _starts([one.get("text") for one in resource.get("name", [])], wanted)


def _telecom(resource: Json, wanted: str) -> bool:
    return any(_folded(one.get("value", "")) == _folded(wanted) for one in resource.get("telecom", []))


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(one for one in plain if not unicodedata.combining(one))


_TESTS: dict[tuple[str, str], Callable[[Json, str], bool]] = {
    ("*", "_id"): lambda resource, wanted: resource.get("id") == wanted,
    ("DocumentReference", "identifier"): _document_identifier,
    ("DocumentReference", "subject"): _subject,
    ("DocumentReference", "patient"): _subject,
    ("DocumentReference", "status"): lambda resource, wanted: resource.get("status") == wanted,
    ("Patient", "identifier"): _patient_identifier,
    ("Patient", "name"): _name,
    ("Patient", "telecom"): _telecom,
    ("Patient", "family"): _family,
    ("Patient", "given"): _given,
    ("Patient", "email"): _email,
    ("Patient", "birthdate"): lambda resource, wanted: resource.get("birthDate") == wanted,
}
