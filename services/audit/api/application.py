"""The HTTP application of audit: API, dashboard, static files; headers that keep pages inert; errors as problems."""

from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from services.audit.api.problems import FieldProblem, Problem, problem
from services.audit.api.routes import LogQuery, make_router
from services.audit.books_keeper import BooksKeeper
from services.audit.dashboard.pages import make_pages
from shared.errors import Unavailable

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


def make_application(pool: Any, books: BooksKeeper, *, refresh_seconds: int = 30) -> FastAPI:
    """The application over an open pool; serves nothing but GET."""
    app = FastAPI(title="healthcare-records audit", version="1", docs_url=None, redoc_url=None, openapi_url="/api/v1/openapi.json")
    app.include_router(make_router(lambda: pool))
    app.include_router(make_pages(pool, books, refresh_seconds=refresh_seconds))
    app.mount("/static", StaticFiles(directory=str(files("services.audit.dashboard").joinpath("static"))), name="static")
    app.add_exception_handler(RequestValidationError, _on_bad_request)
    app.add_exception_handler(Unavailable, _on_unavailable)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.openapi = lambda: _describe(app)  # type: ignore[method-assign]

    @app.middleware("http")
    async def add_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    return app


async def _on_bad_request(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [FieldProblem(field=_known(str(one["loc"][-1])), code=str(one["type"])) for one in error.errors()]
    return problem(400, "bad_request", "A parameter is wrong.", errors=errors)


def _known(name: str) -> str:
    """The parameter's name when it is one of ours: what a client invents is not repeated."""
    return name if name in LogQuery.model_fields or name == "document_id" else "unknown parameter"


async def _on_unavailable(_: Request, __: Exception) -> Response:
    return problem(503, "unavailable", "The log cannot be read at present. Try again later.", headers={"retry-after": "5"})


async def _on_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(
        error.status_code, "not_found" if error.status_code == 404 else "refused", error.detail, headers=dict(error.headers or {})
    )


def _describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description, with our problems in place of FastAPI's own validation answers."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
        schemas = schema["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schemas["Problem"].pop("$defs"))
        for path in schema["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        app.openapi_schema = schema
    return app.openapi_schema
