"""Refusals over HTTP as problem details (RFC 9457): a stable code, a sentence, never anything of the request's content."""

from collections.abc import Mapping

import orjson
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
# answers about documents are for the one who asked
PRIVATE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class Problem(Exception):
    """A request ends here. `code` is stable and names the kind of problem."""

    def __init__(self, status: int, code: str, title: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.title = title
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The answer to send."""
        body = {"type": f"urn:healthrecords:problem:{self.code}", "title": self.title, "status": self.status, "code": self.code}
        return Response(orjson.dumps(body), self.status, {**PRIVATE, **self.headers}, MEDIA_TYPE)


def unavailable(seconds: int) -> Problem:
    """Nothing was taken; the sender keeps the document and comes again."""
    return Problem(503, "unavailable", "The document was not taken. Send it again later.", headers={"retry-after": str(seconds)})
