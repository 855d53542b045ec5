"""What we send is checked before it goes: servers take a missing status, unknown elements and empty strings (seen on HAPI). Pure."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from services.carepatron_writer.platforms.fhir_r4.elements import ID, referred

PACKAGE = "services.carepatron_writer.platforms.fhir_r4"
ELEMENTS: dict[str, list[str]] = tomllib.loads(files(PACKAGE).joinpath("elements.toml").read_text("utf-8"))
NEEDED = ("status", "type", "category", "subject", "date", "content", "author", "context", "custodian", "identifier", "masterIdentifier")
NEEDED_TO_WITHDRAW = ("id", "status", "subject", "identifier")
STATUSES = ("current", "superseded", "entered-in-error")
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})")  # R4 datatype instant
_DATE = re.compile(r"\d{4}(?:-\d{2}(?:-\d{2})?)?")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def fault_in(resource: Mapping[str, Any]) -> str | None:
    """The path of the first thing that FHIR R4, or our own minimum, does not allow; None when there is none. Never content."""
    return next(_faults(resource), None)


def _faults(resource: Mapping[str, Any]) -> Iterator[str]:
    kind = str(resource.get("resourceType"))
    allowed = ELEMENTS.get(kind)
    if allowed is None:
        yield "resourceType"
        return
    yield from (f"{kind}.{name}" for name in resource if name.removeprefix("_") not in allowed)
    yield from _empty(resource, kind)
    if "id" in resource and not ID.fullmatch(str(resource["id"])):
        yield f"{kind}.id"
    yield from _of_document(resource) if kind == "DocumentReference" else _of_patient(resource)


def _of_patient(patient: Mapping[str, Any]) -> Iterator[str]:
    if not patient.get("identifier"):
        yield "Patient.identifier"
    if "birthDate" in patient and not _DATE.fullmatch(str(patient["birthDate"])):
        yield "Patient.birthDate"


def _of_document(document: Mapping[str, Any]) -> Iterator[str]:
    is_withdrawal = document.get("status") == "entered-in-error"
    needed = NEEDED_TO_WITHDRAW if is_withdrawal else NEEDED
    yield from (f"DocumentReference.{name}" for name in needed if name not in document)
    if document.get("status") not in STATUSES:
        yield "DocumentReference.status"
    if "subject" in document and referred(document["subject"], "Patient") is None:
        yield "DocumentReference.subject"
    if "date" in document and not _INSTANT.fullmatch(str(document["date"])):
        yield "DocumentReference.date"
    for place, content in enumerate(document.get("content") or ()):
        attachment = content.get("attachment") or {}
        where = f"DocumentReference.content[{place}].attachment"
        if not attachment.get("contentType"):
            yield f"{where}.contentType"
        if "data" in attachment and "url" in attachment:
            yield f"{where}.url"
        if not is_withdrawal and not ({"data", "url"} & set(attachment)) and attachment.get("size"):
            yield f"{where}.data"


def _empty(value: Any, path: str) -> Iterator[str]:
    """Nulls, empty strings, lists and objects, and characters that no FHIR string has."""
    if value is None or value == {} or value == []:
        yield path
    elif isinstance(value, str):
        if not value.strip() or _CONTROLS.search(value[:100_000]):
            yield path
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield from _empty(one, f"{path}.{name}")
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from _empty(one, f"{path}[{place}]")
