"""A sandbox in process for tests: a frozen clock in a zone other than UTC, an HTTP client with the key, synthetic people and documents."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

import httpx
import orjson
from starlette.applications import Starlette

from services.carepatron_writer.platforms.carepatron.sandbox import create_app
from tests.contract.writing_fakes import KEY

ROOT = "/v1/providers/clinic"
CONTACT = {"firstName": "Test", "lastName": "Marker", "email": "marker@example.org"}
DAY = 86_400.0
T = TypeVar("T")


class FrozenClock:
    """UNIX time that stands until it is moved; it was read in Kathmandu."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 2, 23, 59, 48, tzinfo=timezone(timedelta(hours=5, minutes=45))).timestamp()

    def __call__(self) -> float:
        """Now."""
        return self.now


@contextmanager
def open_app(folder: Path, **said: Any) -> Iterator[Starlette]:
    """A sandbox over a folder, closed again."""
    app = create_app(folder, **{"api_key": KEY, "provider_id": "clinic", **said})
    try:
        yield app
    finally:
        app.state.close()


def run(app: Starlette, work: Callable[[httpx.AsyncClient], Awaitable[T]]) -> T:
    """What a visitor with the key sees."""

    async def visit() -> T:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://sandbox", headers={"cp-api-key": KEY}) as http:
            return await work(http)

    return asyncio.run(visit())


def metadata(content: bytes = b"text", **changes: Any) -> dict[str, Any]:
    """The metadata of a document with this content."""
    plain = {
        "externalId": "d1",
        "externalSystem": "urn:healthrecords:document-id",
        "sourceVersion": "0002",
        "type": "lab_report",
        "title": "Report",
        "status": "current",
        "contentType": "text/plain",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "visibility": "staff",
    }
    return {**plain, **changes}


def form(said: Any, content: bytes = b"text") -> dict[str, Any]:
    """The two parts of an upload."""
    return {"metadata": (None, orjson.dumps(said), "application/json"), "content": ("x", content, "text/plain")}


async def put(http: httpx.AsyncClient, contact: str, said: dict[str, Any], content: bytes = b"text") -> httpx.Response:
    """PUT by reference."""
    return await http.put(f"{ROOT}/contacts/{contact}/documents/d1", files=form(said, content))


async def new_contact(http: httpx.AsyncClient, **changes: Any) -> str:
    """The id of a new client."""
    return str((await http.post(f"{ROOT}/contacts", json={**CONTACT, **changes})).json()["id"])


async def switch(http: httpx.AsyncClient, **switches: Any) -> dict[str, Any]:
    """Set switches."""
    answer = await http.post("/sandbox/switches", json=switches)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def code_of(answer: httpx.Response) -> tuple[int, str | None]:
    """Status, and the problem's code or what a write came to."""
    is_problem = answer.headers.get("content-type") == "application/problem+json"
    return answer.status_code, answer.json()["code"] if is_problem else answer.headers.get("x-result")
