"""Refusals over HTTP as problem details (RFC 9457): a stable code, a sentence, the names of wrong fields, never their content."""

from typing import Any

import orjson
from fastapi.responses import Response
from pydantic import BaseModel, Field

MEDIA_TYPE = "application/problem+json"


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str = Field(description="name of the parameter")
    code: str = Field(description="kind of mistake")


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(description="URN of the kind of problem")
    title: str = Field(description="one sentence")
    status: int = Field(description="HTTP status")
    code: str = Field(description="stable code")
    errors: list[FieldProblem] = Field(default_factory=list, description="the fields at fault")


def problem(
    status: int, code: str, title: str, *, errors: list[FieldProblem] | None = None, headers: dict[str, str] | None = None
) -> Response:
    """The answer to send."""
    body = Problem(type=f"urn:healthrecords:problem:{code}", title=title, status=status, code=code, errors=errors or [])
    return Response(orjson.dumps(body.model_dump()), status, headers, MEDIA_TYPE)


def described(status: int, what: str) -> dict[int | str, dict[str, Any]]:
    """How a problem stands in the OpenAPI description."""
    return {status: {"description": what, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}}
