"""The application: routes under `/fhir`, a token endpoint when there is one, a journal of what was asked."""

import asyncio
import base64
import binascii
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.carepatron_writer.platforms.fhir_r4.sandbox.answers import FHIR_JSON, Answer, Refused
from services.carepatron_writer.platforms.fhir_r4.sandbox.rest import Rest, etag_of
from services.carepatron_writer.platforms.fhir_r4.sandbox.rules import KINDS
from services.carepatron_writer.platforms.fhir_r4.sandbox.searching import narrowed
from services.carepatron_writer.platforms.fhir_r4.sandbox.statement import statement_of
from services.carepatron_writer.platforms.fhir_r4.sandbox.store import Store
from services.carepatron_writer.platforms.fhir_r4.sandbox.switches import Switches
from services.carepatron_writer.platforms.fhir_r4.sandbox.tokens import TokenDoor
from services.carepatron_writer.platforms.fhir_r4.sandbox.transactions import transact

BASE = "/fhir"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


def utc_now() -> str:
    """The time as an instant."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class FhirServer:
    """A server in memory. `faults` are spent one for each write: `lost` (does it, then 503), `down`, `throttled`, `html`, `other`."""

    def __init__(self, switches: Switches | None = None, *, door: TokenDoor | None = None, now: Callable[[], str] = utc_now) -> None:
        self.store = Store(now)
        self.door = door
        self.faults: list[str] = []
        self.asked: list[Asked] = []
        self.gap: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0)  # of a racy creation
        self.rest = Rest(self.store, switches or Switches())
        self._pages: dict[str, list[dict[str, Any]]] = {}
        routes = [
            Route(BASE, self._answer_root, methods=["GET", "POST"]),
            Route(BASE + "/metadata", self._answer(self._metadata), methods=["GET"]),
            Route(BASE + "/{kind}", self._answer(self._type), methods=["GET", "POST", "PUT"]),
            Route(BASE + "/{kind}/_search", self._answer(self._search_quietly), methods=["POST"]),
            Route(BASE + "/{kind}/{id}", self._answer(self._instance), methods=["GET", "PUT"]),
            Route(BASE + "/{kind}/{id}/_history", self._answer(self._history), methods=["GET"]),
        ]
        self.app = Starlette(routes=[*routes, *([Route("/token", door.give, methods=["POST"])] if door else [])])

    @property
    def switches(self) -> Switches:
        """As they stand."""
        return self.rest.switches

    def set(self, switches: Switches) -> None:
        """Another server from now on, with the same resources."""
        self.rest.switches = switches

    def _answer(self, work: Callable[[Request, bytes], Awaitable[Answer]]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            body = await request.body()
            self.asked.append(Asked(request.method, request.url.path, request.url.query, dict(request.headers), body))
            if self.door is not None and not self.door.is_open_for(request.headers):
                return Refused(401).as_answer().as_response()
            is_write = request.method in ("POST", "PUT") and not request.url.path.endswith("_search")
            fault = self.faults.pop(0) if self.faults and is_write else ""
            if fault in ("down", "throttled"):
                return Refused(503 if fault == "down" else 429).as_answer().as_response()
            try:
                done = await work(request, body)
            except Refused as error:
                done = error.as_answer()
            if fault == "lost":
                return Refused(503).as_answer().as_response()
            if fault == "other":  # about something else than was asked
                return Answer(200, {"resourceType": "Bundle", "type": "transaction-response", "entry": []}).as_response()
            return Response(b"<html>Bad gateway</html>", 200, media_type="text/html") if fault == "html" else done.as_response()

        return answer

    async def _answer_root(self, request: Request) -> Response:
        return await self._answer(self._root)(request)

    async def _root(self, request: Request, body: bytes) -> Answer:
        if request.method == "GET":
            page = self._pages.get(request.query_params.get("_getpages", ""))
            if page is None:
                raise Refused(410)
            return self._page(page, request.query_params, BASE)
        if not self.switches.transactions:
            raise Refused(405)
        return Answer(200, await transact(self.rest, self._resource(request, body)))

    async def _metadata(self, request: Request, body: bytes) -> Answer:
        return Answer(200, statement_of(self.switches))

    async def _type(self, request: Request, body: bytes) -> Answer:
        kind = self._kind(request)
        if request.method == "GET":
            return self._found(kind, request.query_params.multi_items(), f"{BASE}/{kind}")
        if request.method == "PUT":
            return self._sent(request, self.rest.update_matching(kind, request.url.query, self._resource(request, body)))
        if kind == "Binary" and FHIR_JSON not in request.headers.get("content-type", ""):
            return self._sent(request, await self.rest.create(kind, self._raw(request, body)))
        answer = await self.rest.create(kind, self._resource(request, body), request.headers.get("if-none-exist"), self._wait)
        return self._sent(request, answer)

    async def _search_quietly(self, request: Request, body: bytes) -> Answer:
        kind = self._kind(request)
        return self._found(kind, parse_qsl(body.decode()), f"{BASE}/{kind}/_search")

    async def _instance(self, request: Request, body: bytes) -> Answer:
        kind, found_id = self._kind(request), request.path_params["id"]
        if request.method == "PUT":
            is_raw = kind == "Binary" and FHIR_JSON not in request.headers.get("content-type", "")
            resource = {**self._raw(request, body), "id": found_id} if is_raw else self._resource(request, body)
            return self._sent(request, self.rest.update(kind, found_id, resource, request.headers.get("if-match")))
        found = self.rest.shown(self.rest.read(kind, found_id))
        if kind == "Binary" and not self.switches.binary_as_resource and "fhir+json" not in request.headers.get("accept", ""):
            return Answer(200, base64.b64decode(found.get("data", "")), {"Content-Type": found["contentType"]})
        headers = {"ETag": etag_of(found)} if self.switches.versioning else {}
        return Answer(200, narrowed(found, request.query_params.get("_elements"), self.switches), headers)

    async def _history(self, request: Request, body: bytes) -> Answer:
        kind, found_id = self._kind(request), request.path_params["id"]
        versions = self.store.held.get(kind, {}).get(found_id)
        if not versions or not self.switches.versioning:
            raise Refused(404)
        entries = [{"resource": self.rest.shown(one)} for one in reversed(versions)]
        return Answer(200, {"resourceType": "Bundle", "type": "history", "entry": entries})

    async def _wait(self) -> None:
        await self.gap()

    def _found(self, kind: str, params: list[tuple[str, str]], path: str) -> Answer:
        asked, criteria = dict(params), [one for one in params if one[0] != "_offset"]
        rows = [narrowed(self.rest.shown(one), asked.get("_elements"), self.switches) for one in self.rest.search(kind, criteria)]
        token = uuid.uuid4().hex
        self._pages[token] = rows
        return self._page(rows, {**asked, "_getpages": token}, path, urlencode(criteria))

    def _page(self, rows: list[dict[str, Any]], params: Any, path: str, query: str = "") -> Answer:
        offset, size = int(params.get("_offset", 0)), min(int(params.get("_count", 0)) or self.switches.page, self.switches.page)
        bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "total": len(rows)}
        if offset + size < len(rows):  # the host is one that only the server knows
            link = f"_getpages={params['_getpages']}&_count={size}" if self.switches.paging == "base" else query
            where = BASE if self.switches.paging == "base" else path
            url = f"http://internal.example:8080{where}?{link}&_offset={offset + size}"
            bundle["link"] = [{"relation": "self", "url": url}, {"relation": "next", "url": url}]
        bundle["entry"] = [{"resource": one, "search": {"mode": "match"}} for one in rows[offset : offset + size]]
        return Answer(200, bundle if bundle["entry"] else {name: one for name, one in bundle.items() if name != "entry"})

    def _sent(self, request: Request, answer: Answer) -> Answer:
        """What was written comes back unless the client said that it does not want it."""
        is_minimal = request.headers.get("prefer") == "return=minimal" and self.switches.honours_prefer
        shown = None if is_minimal or answer.body is None else self.rest.shown(answer.body)
        location = answer.headers.get("Location")
        absolute = {"Location": f"http://internal.example:8080{BASE}/{location}"} if location else {}
        return Answer(answer.status, shown, {**answer.headers, **absolute})

    def _kind(self, request: Request) -> str:
        kind = str(request.path_params["kind"])
        if kind not in KINDS:
            raise Refused(404)
        return kind

    def _resource(self, request: Request, body: bytes) -> Any:
        if FHIR_JSON not in request.headers.get("content-type", ""):
            raise Refused(415)
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            raise Refused(400) from None

    def _raw(self, request: Request, body: bytes) -> dict[str, Any]:
        content_type = request.headers.get("content-type", "")
        if not content_type or not body:
            raise Refused(415)
        return {"resourceType": "Binary", "contentType": content_type, "data": binascii.b2a_base64(body, newline=False).decode()}
