"""Reading requests of the contract: bounded bodies, the two-part form, and the checks of what they hold."""

import re
from typing import Any

import orjson
from starlette.requests import Request

MAX_BYTES = 52_428_800
MAX_JSON = 1 << 20
MEDIA_TYPES = frozenset({"application/pdf", "image/jpeg", "image/png", "text/plain", "application/xml"})
_BOUNDARY = re.compile(r'boundary="?([^";,\s]{1,70})"?', re.IGNORECASE)
_NAME = re.compile(rb'content-disposition:[^\r\n]*\bname="([a-z]+)"', re.IGNORECASE)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_STATUSES = frozenset({"current", "preliminary", "superseded"})

Errors = list[tuple[str, str]]


class TooLarge(Exception):
    """The body is larger than allowed."""


class Unreadable(Exception):
    """The body is not what it says it is."""


async def read_body(request: Request, limit: int) -> bytes:
    """The body. Raises TooLarge as soon as it is."""
    if int(request.headers.get("content-length") or 0) > limit:
        raise TooLarge
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise TooLarge
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def read_object(request: Request) -> dict[str, Any]:
    """A JSON object. Raises TooLarge or Unreadable."""
    try:
        value = orjson.loads(await read_body(request, MAX_JSON))
    except orjson.JSONDecodeError as error:
        raise Unreadable from error
    if not isinstance(value, dict):
        raise Unreadable
    return value


async def read_document(request: Request) -> tuple[dict[str, Any], bytes]:
    """The parts `metadata` and `content` of a form. Raises TooLarge or Unreadable."""
    boundary = _BOUNDARY.search(request.headers.get("content-type", ""))
    if boundary is None:
        raise Unreadable
    parts = split_form(await read_body(request, MAX_BYTES + MAX_JSON), boundary[1].encode())
    try:
        metadata = orjson.loads(parts[b"metadata"])
    except (KeyError, orjson.JSONDecodeError) as error:
        raise Unreadable from error
    if not isinstance(metadata, dict) or b"content" not in parts:
        raise Unreadable
    return metadata, parts[b"content"]


def split_form(body: bytes, boundary: bytes) -> dict[bytes, bytes]:
    """The parts of a form by name (RFC 7578). Raises Unreadable when it does not end as it should."""
    delimiter = b"\r\n--" + boundary
    parts: dict[bytes, bytes] = {}
    at = 0 if body.startswith(delimiter[2:]) else body.find(delimiter)
    at = at + len(delimiter) - (2 if at == 0 else 0) if at >= 0 else -1
    while at >= 0 and body[at : at + 2] == b"\r\n":
        head_end = body.find(b"\r\n\r\n", at)
        end = body.find(delimiter, head_end + 2)
        name = _NAME.search(body, at, head_end) if head_end >= 0 else None
        if name is None or end < 0:
            raise Unreadable
        parts[name[1]] = body[head_end + 4 : end]
        at = end + len(delimiter)
    if at < 0 or body[at : at + 2] != b"--":
        raise Unreadable
    return parts


def check_document(metadata: dict[str, Any], external_id: str, sha256: str, size: int) -> Errors:
    """What is wrong with the metadata of a document, as JSON pointers with messages."""
    rules = (
        ("externalId", metadata.get("externalId") == external_id, "must be the id in the path"),
        ("externalSystem", metadata.get("externalSystem") == "urn:healthrecords:document-id", "must be urn:healthrecords:document-id"),
        ("sourceVersion", _is_text(metadata.get("sourceVersion"), 256), "must be sortable text"),
        ("type", _is_text(metadata.get("type"), 64), "must be text"),
        ("title", _is_text(metadata.get("title"), 1000), "must be text"),
        ("status", metadata.get("status") in _STATUSES, "must be current, preliminary or superseded"),
        ("size", metadata.get("size") == size, "must be the size of the content"),
        ("sha256", _matches(_SHA256, metadata.get("sha256")) and metadata["sha256"] == sha256, "must be the digest of the content"),
        ("visibility", metadata.get("visibility") == "staff", "must be staff"),
        ("authors", _is_list(metadata.get("authors", []), str), "must be a list of texts"),
    )
    return [(f"/{field}", message) for field, is_right, message in rules if not is_right]


def check_contact(body: dict[str, Any]) -> Errors:
    """What is wrong with a contact."""
    references = body.get("externalReferences", [])
    is_named = any(_is_text(body.get(field), 300) for field in ("firstName", "lastName"))
    rules = (
        ("firstName", isinstance(body.get("firstName"), str) and is_named, "a name is needed"),
        ("lastName", isinstance(body.get("lastName"), str) and is_named, "a name is needed"),
        ("email", body.get("email") is None or "@" in str(body["email"]), "must be an e-mail address"),
        ("dateOfBirth", body.get("dateOfBirth") is None or _matches(_DATE, body["dateOfBirth"]), "must be a full date"),
        ("medicalHistory", _is_list(body.get("medicalHistory", []), dict), "must be a list of objects"),
        ("dietaryPreferences", _is_list(body.get("dietaryPreferences", []), dict), "must be a list of objects"),
        ("nutritionChanges", _is_list(body.get("nutritionChanges", []), dict), "must be a list of objects"),
        ("externalReferences", _is_list(references, dict) and all(_is_reference(one) for one in references), "must be references"),
    )
    return [(f"/{field}", message) for field, is_right, message in rules if not is_right]


def is_criterion(one: Any) -> bool:
    """Whether this is a criterion of a search."""
    if not isinstance(one, dict):
        return False
    if "externalReference" in one:
        return _is_reference(one["externalReference"])
    if "email" in one:
        return isinstance(one["email"], str)
    return isinstance(one.get("firstName"), str) and isinstance(one.get("lastName"), str)


def _is_reference(one: Any) -> bool:
    return isinstance(one, dict) and isinstance(one.get("system"), str) and isinstance(one.get("value"), str)


def _is_text(value: Any, limit: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= limit


def _is_list(value: Any, kind: type[Any]) -> bool:
    return isinstance(value, list) and all(isinstance(one, kind) for one in value)


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
