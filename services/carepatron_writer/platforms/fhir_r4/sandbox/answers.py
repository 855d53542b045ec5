"""Answers of the server: resources and OperationOutcomes. Diagnostics quote the input, as real servers' do: nobody may log them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.responses import Response

FHIR_JSON = "application/fhir+json"
CODES = {400: "invalid", 401: "login", 403: "forbidden", 404: "not-found", 405: "not-supported", 409: "conflict", 410: "deleted"}
CODES |= {412: "conflict", 413: "too-long", 415: "not-supported", 422: "invalid", 429: "throttled", 503: "transient"}


@dataclass
class Answer:
    """A status, a resource or bytes, and headers."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def as_response(self) -> Response:
        """For Starlette."""
        if isinstance(self.body, bytes):
            return Response(self.body, self.status, self.headers)
        content = b"" if self.body is None else orjson.dumps(self.body)
        return Response(content, self.status, self.headers, media_type=FHIR_JSON if content else None)


class Refused(Exception):
    """The answer is an error."""

    def __init__(self, status: int, *, where: str | None = None, quoting: Any = None, code: str | None = None) -> None:
        super().__init__(status)
        self.status = status
        issue: dict[str, Any] = {"severity": "error", "code": CODES.get(status, "processing")}
        words = f"{code}: refused" if code else "Refused"
        issue["diagnostics"] = words if quoting is None else f"{words}: {orjson.dumps(quoting).decode()[:2000]}"
        if where:
            issue["expression"] = [where]
        self.outcome = {"resourceType": "OperationOutcome", "issue": [issue]}

    def as_answer(self) -> Answer:
        """As it is sent."""
        return Answer(self.status, self.outcome)


def entry_of(answer: Answer, outcome: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """An answer as a transaction's response says it."""
    response: dict[str, Any] = {"status": str(answer.status)}
    for header, name in (("Location", "location"), ("ETag", "etag")):
        if header in answer.headers:
            response[name] = answer.headers[header]
    return {"response": {**response, **({"outcome": dict(outcome)} if outcome else {})}}
