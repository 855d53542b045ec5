"""Answers of the sandbox: JSON and RFC 9457 problems. Texts name fields and versions, never what a patient or a document says."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from starlette.responses import Response

TITLES = {
    "invalid-request": (400, "The request cannot be read"),
    "unauthorized": (401, "The key is missing or unknown"),
    "forbidden": (403, "The key does not open this account"),
    "not-found": (404, "There is no such thing here"),
    "contact-archived": (409, "The contact is archived"),
    "stale-version": (409, "A newer version is already stored"),
    "version-conflict": (409, "The same version is stored with other content"),
    "request-in-progress": (409, "A request with this key is still running"),
    "contact-merged": (410, "The contact was merged into another one"),
    "export-expired": (410, "The export is no longer kept"),
    "precondition-failed": (412, "The contact has changed since it was read"),
    "payload-too-large": (413, "The document is larger than the limit"),
    "unsupported-media-type": (415, "This kind of content is not taken"),
    "locked": (423, "Somebody else is working on the document"),
    "rate-limited": (429, "Too many requests"),
    "upstream-chaos": (503, "Chaos, as asked for"),
    "storage-quota-exceeded": (507, "The account's storage is full"),
}
RETRYABLE = frozenset({"rate-limited", "upstream-chaos", "precondition-failed", "request-in-progress", "locked"})
Errors = Sequence[tuple[str, str]]


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(value), status, headers, media_type="application/json")


def problem(
    code: str, *, status: int | None = None, errors: Errors = (), headers: Mapping[str, str] | None = None, **members: str | None
) -> Response:
    """A problem; `status` overrides the usual one of its code (405, 416, 422 and 428 are forms of invalid-request)."""
    usual, title = TITLES[code]
    body: dict[str, Any] = {
        "type": f"https://healthrecords.example/problems/{code}",
        "title": title,
        "status": status or usual,
        "detail": "; ".join(f"{pointer} {message}" for pointer, message in errors) or title,
        "instance": f"urn:uuid:{uuid.uuid4()}",
        "code": code,
        "retryable": code in RETRYABLE,
        **members,
    }
    if errors:
        body["errors"] = [{"pointer": pointer, "message": message} for pointer, message in errors]
    return Response(orjson.dumps(body), status or usual, headers, media_type="application/problem+json")
