"""Reading requests of the contract: bounded bodies, JSON objects, the two-part form (RFC 7578)."""

import re
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

MAX_JSON = 1 << 20
MAX_DEPTH = 64  # of objects and lists in each other: what is taken must fit into answers again
_BOUNDARY = re.compile(r'boundary="?([^";,\s]{1,70})"?', re.IGNORECASE)
_NAME = re.compile(rb'content-disposition:[^\r\n]*\bname="([^"\r\n]*)"', re.IGNORECASE)
_JSON = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json(?:\s*;.*)?", re.IGNORECASE)
_FORM = re.compile(r"multipart/form-data\s*;.*", re.IGNORECASE)


class TooLarge(Exception):
    """The body is larger than allowed."""


class Unreadable(Exception):
    """The body is not what it says it is."""


class WrongKind(Exception):
    """The body is of a kind that is not taken here."""


async def read_body(request: Request, limit: int) -> bytes:
    """The body. Raises TooLarge as soon as it is, WrongKind when it is encoded, Unreadable when its sender leaves."""
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise WrongKind
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:18]) > limit:
        raise TooLarge
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise TooLarge
            chunks.append(chunk)
    except ClientDisconnect as error:
        raise Unreadable from error
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def read_object(request: Request) -> dict[str, Any]:
    """A JSON object, whatever the request calls it. Raises TooLarge, WrongKind or Unreadable."""
    return object_in(await read_body(request, MAX_JSON))


async def read_json(request: Request, *, may_be_empty: bool = False) -> dict[str, Any]:
    """A JSON object that is called one. Raises TooLarge, WrongKind or Unreadable."""
    body = await read_body(request, MAX_JSON)
    if not body and may_be_empty:
        return {}
    if not _JSON.fullmatch(request.headers.get("content-type", "")):
        raise WrongKind
    return object_in(body)


async def read_form(request: Request, max_bytes: int) -> tuple[dict[str, Any], bytes]:
    """The parts `metadata` and `content` of a form. Raises TooLarge, WrongKind or Unreadable."""
    content_type = request.headers.get("content-type", "")
    if not _FORM.fullmatch(content_type):
        raise WrongKind
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise Unreadable
    parts = split_form(await read_body(request, max_bytes + MAX_JSON), boundary[1].encode("latin-1", "replace"))
    if b"metadata" not in parts or b"content" not in parts:
        raise Unreadable
    if len(parts[b"metadata"]) > MAX_JSON or len(parts[b"content"]) > max_bytes:
        raise TooLarge
    return object_in(parts[b"metadata"]), parts[b"content"]


def object_in(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises Unreadable, also for one that is nested too deeply."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unreadable from error
    if not isinstance(value, dict) or _is_deep(value):
        raise Unreadable
    return value


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one) if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def split_form(body: bytes, boundary: bytes) -> dict[bytes, bytes]:
    """The parts of a form by name, the first of each. Raises Unreadable when it does not end as it should."""
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
        parts.setdefault(name[1], body[head_end + 4 : end])
        at = end + len(delimiter)
    if at < 0 or body[at : at + 2] != b"--":
        raise Unreadable
    return parts
