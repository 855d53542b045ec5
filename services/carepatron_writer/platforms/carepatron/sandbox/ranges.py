"""Bytes as HTTP gives them out: whole, a range of them, or nothing new (RFC 9110, sections 13 and 14)."""

import re
from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response

from services.carepatron_writer.platforms.carepatron.sandbox.problems import problem

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")

Reader = Callable[[int, int], bytes]  # the first byte and how many


def serve_bytes(request: Request, size: int, etag: str, media_type: str, read: Reader) -> Response:
    """200, 206, 304 or 416. More than one range, and what is no range, count as none."""
    headers = {"ETag": etag, "Accept-Ranges": "bytes", "X-Content-Type-Options": "nosniff"}
    if _knows(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    wanted = _range_in(request.headers, etag)
    if wanted is None:
        return Response(read(0, size), 200, headers, media_type=media_type)
    first, last = int(wanted[0] or max(0, size - int(wanted[1] or 0))), size - 1
    if wanted[0] and wanted[1]:
        if int(wanted[1]) < first:  # no range
            return Response(read(0, size), 200, headers, media_type=media_type)
        last = min(int(wanted[1]), last)
    if first > last:
        return problem(
            "invalid-request", status=416, headers={"Content-Range": f"bytes */{size}"}, errors=[("/Range", "is beyond the end")]
        )
    part = read(first, last - first + 1)
    return Response(part, 206, {**headers, "Content-Range": f"bytes {first}-{last}/{size}"}, media_type=media_type)


def _knows(header: str, etag: str) -> bool:
    """If-None-Match: weak comparison."""
    return header.strip() == "*" or etag in [one.strip().removeprefix("W/") for one in header.split(",")]


def _range_in(headers: Mapping[str, str], etag: str) -> tuple[str, str] | None:
    match = _RANGE.fullmatch(headers.get("range", "").strip())
    if match is None or match[0] == "bytes=-" or headers.get("if-range", etag) != etag:
        return None
    return match[1], match[2]
