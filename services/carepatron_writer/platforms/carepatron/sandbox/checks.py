"""What the contract says of the fields of contacts, documents, shares and criteria; each mistake with its place, never with its value."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any

from services.carepatron_writer.platforms.carepatron.sandbox.clock import seconds_of

CONTACT_FIELDS: Mapping[str, Any] = {  # with what stands where nothing is said
    "isClient": True,
    "firstName": "",
    "lastName": "",
    "email": None,
    "phoneNumber": None,
    "dateOfBirth": None,
    "tags": [],
    "externalReferences": [],
    "medicalHistory": [],
    "dietaryPreferences": [],
    "nutritionChanges": [],
    "customFields": {},
}
DOCUMENT_FIELDS = (
    "externalId",
    "externalSystem",
    "sourceVersion",
    "type",
    "typeCoding",
    "title",
    "documentDate",
    "authors",
    "source",
    "status",
    "contentType",
    "size",
    "sha256",
    "supersedes",
    "summary",
    "visibility",
)
SHARE_KINDS = ("client", "staff", "contact")
MAX_REFERENCE = 512
MAX_NAME = 300
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_EMAIL = re.compile(r"[^@ \t\r\n]{1,128}@[^@ \t\r\n]{1,190}")
_STATUSES = ("current", "preliminary", "superseded")
_SYSTEM = "urn:healthrecords:document-id"

Errors = list[tuple[str, str]]
Rules = Sequence[tuple[str, bool, str]]


def check_document(metadata: Mapping[str, Any], external_id: str | None, sha256: str, size: int, kinds: Collection[str]) -> Errors:
    """What is wrong with the metadata of a document; `external_id` is the one in the path, where there is one."""
    said, summary = metadata.get, metadata.get("summary", {})
    is_named = is_text(said("externalId"), 128) and external_id in (None, said("externalId"))
    return _errors(
        (
            ("externalId", is_named, "must be text, the id in the path"),
            ("externalSystem", said("externalSystem") == _SYSTEM, f"must be {_SYSTEM}"),
            ("sourceVersion", is_text(said("sourceVersion"), 256), "must be sortable text"),
            ("type", is_text(said("type"), 64), "must be text"),
            ("typeCoding", said("typeCoding") is None or isinstance(said("typeCoding"), dict), "must be an object"),
            ("title", is_text(said("title"), 1000), "must be text"),
            ("documentDate", said("documentDate") is None or is_text(said("documentDate"), 1000), "must be text"),
            ("authors", is_list(said("authors", []), str), "must be a list of texts"),
            ("source", isinstance(said("source", {}), dict), "must be an object"),
            ("status", said("status") in _STATUSES, "must be current, preliminary or superseded"),
            ("contentType", said("contentType") in kinds, "is not taken"),
            ("size", type(said("size")) is int and said("size") == size, "must be the size of the content"),
            ("sha256", _matches(_SHA256, said("sha256")) and said("sha256") == sha256, "must be the digest of the content"),
            ("supersedes", said("supersedes") is None or isinstance(said("supersedes"), str), "must be text"),
            ("summary", _is_summary(summary), "must hold lists of texts"),
            ("visibility", said("visibility") == "staff", "must be staff"),
        )
    )


def check_contact(body: Mapping[str, Any]) -> Errors:
    """What is wrong with a contact."""
    said, references = body.get, body.get("externalReferences", [])
    first, last = _is_name(said("firstName")), _is_name(said("lastName"))
    return _errors(
        (
            ("isClient", isinstance(said("isClient", True), bool), "must be true or false"),
            ("firstName", first and bool(said("firstName") or said("lastName")), "a name is needed"),
            ("lastName", last, "must be text"),
            ("email", said("email") is None or _matches(_EMAIL, said("email")), "must be an e-mail address"),
            ("phoneNumber", said("phoneNumber") is None or isinstance(said("phoneNumber"), str), "must be text"),
            ("dateOfBirth", said("dateOfBirth") is None or is_date(said("dateOfBirth")), "must be a full date"),
            ("tags", is_list(said("tags", []), str), "must be a list of texts"),
            ("externalReferences", is_list(references, dict) and all(map(is_reference, references)), "must be references"),
            ("medicalHistory", is_list(said("medicalHistory", []), dict), "must be a list of objects"),
            ("dietaryPreferences", is_list(said("dietaryPreferences", []), dict), "must be a list of objects"),
            ("nutritionChanges", is_list(said("nutritionChanges", []), dict), "must be a list of objects"),
            ("customFields", isinstance(said("customFields", {}), dict), "must be an object"),
        )
    )


def check_share(body: Mapping[str, Any]) -> Errors:
    """What is wrong with a wish to share."""
    whom = body.get("with")
    is_somebody = isinstance(whom, dict) and whom.get("kind") in SHARE_KINDS and is_text(whom.get("id"), 128)
    return _errors(
        (
            ("with", is_somebody, "must name a client, a member of staff or a contact"),
            ("expiresAt", body.get("expiresAt") is None or is_time(body["expiresAt"]), "must be a time with its zone"),
        )
    )


def is_criterion(one: Any) -> bool:
    """Whether this is a criterion of a search."""
    if not isinstance(one, dict):
        return False
    if "externalReference" in one:
        return is_reference(one["externalReference"])
    if "email" in one:
        return isinstance(one["email"], str)
    return isinstance(one.get("firstName"), str) and isinstance(one.get("lastName"), str)


def is_reference(one: Any) -> bool:
    """Whether this names something in another system."""
    return isinstance(one, dict) and is_text(one.get("system"), MAX_REFERENCE) and is_text(one.get("value"), MAX_REFERENCE)


def is_text(value: Any, limit: int) -> bool:
    """Whether this is text that says something and is no longer than that."""
    return isinstance(value, str) and 0 < len(value) <= limit


def is_list(value: Any, kind: type[Any]) -> bool:
    """Whether this is a list of such things."""
    return isinstance(value, list) and all(isinstance(one, kind) for one in value)


def is_date(value: Any) -> bool:
    """Whether this is a day of the calendar."""
    try:
        return _matches(_DATE, value) and bool(date.fromisoformat(value))
    except ValueError:
        return False


def is_time(value: Any) -> bool:
    """Whether this is a time with its zone (RFC 3339)."""
    try:
        return isinstance(value, str) and "T" in value.upper() and seconds_of(value) is not None
    except (ValueError, OverflowError):
        return False


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_NAME


def _is_summary(value: Any) -> bool:
    return isinstance(value, dict) and all(is_list(value.get(name, []), str) for name in ("dietary", "abnormal"))


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _errors(rules: Rules) -> Errors:
    return [(f"/{field}", message) for field, is_right, message in rules if not is_right]
