"""FHIR interactions over one account: read, search with all its pages, write. What answers mean is decided here and nowhere else.

RESTful API of R4 (http://hl7.org/fhir/R4/http.html). Raises Unavailable, or OutcomeUnknown when a write may have happened.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson

from services.carepatron_writer.platforms.fhir_r4.elements import ID, Json, referred
from services.carepatron_writer.platforms.http import PlatformClient, Reply, Retry
from services.carepatron_writer.platforms.port import Answer, Rejected
from shared.outcomes import Reason

FHIR_JSON = "application/fhir+json"
FORM = "application/x-www-form-urlencoded"
# no cached search (HAPI keeps results for a minute), and no copy of what we have just sent
ASKING = {"cache-control": "no-cache"}
SENDING = {"content-type": FHIR_JSON, "prefer": "return=minimal"}
MOST_PAGES = 200
Params = Sequence[tuple[str, str]]  # a name may stand twice: both must hold
GONE = (404, 410)

Kind = Literal["Patient", "DocumentReference", "Binary"]
READING: Mapping[Kind, str] = {"Patient": "read_patient", "DocumentReference": "read_document", "Binary": "read_binary"}


@dataclass(frozen=True, slots=True)
class Written:
    """A write that happened."""

    id: str
    is_new: bool  # 201; 200 on a create means that it was there before


@dataclass(frozen=True, slots=True)
class Raced:
    """Nothing happened: somebody was faster, or what we wanted to change is gone. Read again and decide."""


@dataclass(frozen=True, slots=True)
class Several:
    """A conditional write met several resources of one identity."""


@dataclass(frozen=True, slots=True)
class TooLarge:
    """The server does not take a body of this size."""


@dataclass(frozen=True, slots=True)
class NotOffered:
    """The server does not let anybody change this kind of resource (405)."""


@dataclass(frozen=True, slots=True)
class Mediated:
    """202: somebody, or something, over there decides later."""


Result = Written | Raced | Several | TooLarge | NotOffered | Mediated | Answer


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource with the version that If-Match takes."""

    body: Json
    etag: str | None


class Wire:
    """One server's REST API."""

    def __init__(self, client: PlatformClient) -> None:
        self.client = client

    async def read(self, operation: str, found_id: str, params: Mapping[str, str] | None = None) -> Resource | Answer | None:
        """GET [type]/[id]; None when it is not there."""
        reply = await self.client.call(operation, {"id": found_id}, headers=ASKING, params=params)
        if reply.said.status in GONE:
            return None
        if reply.meaning is not None:
            return self.refusal(reply)
        version = (reply.body.get("meta") or {}).get("versionId")
        return Resource(reply.body, reply.etag or (f'W/"{version}"' if version else None))

    async def statement(self) -> Json | None:
        """GET /metadata; None where the server does not give it to us."""
        reply = await self.client.call("capabilities", headers=ASKING)
        return reply.body if reply.meaning is None and reply.body.get("resourceType") == "CapabilityStatement" else None

    async def search(self, operation: str, params: Mapping[str, str], kind: Kind) -> list[Json]:
        """All matches of a GET search."""
        return await self._pages(await self.client.call(operation, params=params, headers=ASKING), operation, kind)

    async def search_quietly(self, operation: str, params: Params, kind: Kind) -> list[Json]:
        """All matches of a search whose criteria must not stand in a URL (POST _search)."""
        return await self._pages(await self._post_search(operation, params), operation, kind)

    async def _post_search(self, operation: str, params: Params) -> Reply:
        headers = {**ASKING, "content-type": FORM}
        return await self.client.call(operation, parts=(urlencode(params).encode(),), headers=headers)

    async def _pages(self, reply: Reply, operation: str, kind: Kind) -> list[Json]:
        found: dict[str, Json] = {}
        for _ in range(MOST_PAGES):
            if reply.meaning is not None or reply.body.get("resourceType") != "Bundle":
                raise self.client.outage(Retry.TARGET_DOWN, f"search answered {reply.said.status}", is_write=False)
            for entry in reply.body.get("entry") or ():
                resource = entry.get("resource") if isinstance(entry, dict) else None
                if isinstance(resource, dict) and resource.get("resourceType") == kind and isinstance(resource.get("id"), str):
                    found[resource["id"]] = resource
            link = _next_link(reply.body)
            if link is None:
                return list(found.values())
            reply = await self._follow(link, operation, kind)
        raise self.client.outage(Retry.UNKNOWN, "the search has no end", is_write=False)

    async def _follow(self, link: str, operation: str, kind: Kind) -> Reply:
        """The next page. Only the query of a link is used: no answer names the host that gets our token, nor puts names into a URL."""
        parts = urlsplit(link)
        found = parse_qsl(parts.query, keep_blank_values=True)
        params = dict(found)
        if not parts.path.removesuffix("/_search").endswith(f"/{kind}"):  # opaque, on the base
            return await self.client.call("next_page", params=params, headers=ASKING)
        if operation.startswith("search_"):
            return await self._post_search(operation, found)
        return await self.client.call(operation, params=params, headers=ASKING)

    async def create(self, operation: str, body: Json, kind: Kind, *, if_none_exist: str | None = None) -> Result:
        """POST [type], guarded by If-None-Exist where the server knows it."""
        headers = {**SENDING, **({"if-none-exist": if_none_exist} if if_none_exist else {})}
        return self._result(await self.client.call(operation, json=body, headers=headers), kind, is_conditional=bool(if_none_exist))

    async def create_at(self, operation: str, criteria: Mapping[str, str], body: Json, kind: Kind) -> Result:
        """PUT [type]?criteria: If-Match is ignored there (seen), so it is for creating only."""
        return self._result(await self.client.call(operation, json=body, headers=SENDING, params=criteria), kind, is_conditional=True)

    async def replace(self, operation: str, found_id: str, etag: str | None, body: Json, kind: Kind) -> Result:
        """PUT [type]/[id] with If-Match."""
        headers = {**SENDING, **({"if-match": etag} if etag else {})}
        reply = await self.client.call(operation, {"id": found_id}, json={**body, "id": found_id}, headers=headers)
        if reply.said.status in GONE and not isinstance(reply.meaning, Rejected):
            return Raced()  # deleted meanwhile
        if reply.said.status == 405:  # R4: also for an id that is not there, where ids cannot be chosen
            return Raced() if await self.read(READING[kind], found_id) is None else NotOffered()
        return self._result(reply, kind, known_id=found_id)

    async def send_binary(self, content: bytes, media_type: str, found_id: str | None) -> Result:
        """POST Binary, or PUT with an id of ours: raw bytes under their own type."""
        headers = {"content-type": media_type, "prefer": "return=minimal"}
        if found_id is None:
            return self._result(await self.client.call("create_binary", parts=(content,), headers=headers), "Binary")
        reply = await self.client.call("replace_binary", {"id": found_id}, parts=(content,), headers=headers)
        return self._result(reply, "Binary", known_id=found_id)

    async def transact(self, bundle: Json) -> list[Json] | Result:
        """POST a transaction: what became of each entry, in their order, or of the whole of it."""
        reply = await self.client.call("transaction", json=bundle, headers=SENDING)
        if reply.meaning is not None:
            return self._result(reply, "DocumentReference")
        rows = [one.get("response") for one in reply.body.get("entry") or () if isinstance(one, dict)]
        if len(rows) != len(bundle["entry"]) or not all(isinstance(one, dict) for one in rows):
            raise self.client.outage(Retry.UNKNOWN, "answer about another transaction", is_write=True)
        return [one for one in rows if isinstance(one, dict)]

    def entry_result(self, response: Mapping[str, Any], kind: Kind) -> Written:
        """What an entry of a transaction became; its warnings (entry.response.outcome) are no failures."""
        status, found_id = str(response.get("status") or "")[:3], referred(response.get("location"), kind)
        if not status.startswith("2") or found_id is None:
            raise self.client.outage(Retry.UNKNOWN, "answer about another transaction", is_write=True)
        return Written(found_id, status == "201")

    def refusal(self, reply: Reply) -> Answer:
        """The value of a refusal. Raises OutcomeUnknown where only reading can tell."""
        if reply.meaning is None or isinstance(reply.meaning, Retry):
            raise self.client.outage(Retry.UNKNOWN, str(reply.said.status), is_write=True)
        return reply.meaning

    def _result(self, reply: Reply, kind: Kind, *, known_id: str | None = None, is_conditional: bool = False) -> Result:
        if reply.said.status == 202:
            return Mediated()
        if reply.said.status == 412 and is_conditional:
            return Several()
        if reply.meaning is Retry.AGAIN:
            return Raced()
        if reply.said.status == 413 or reply.meaning == Rejected(Reason.CONTENT_TOO_LARGE):
            return TooLarge()
        if reply.meaning is not None:
            return self.refusal(reply)
        found_id = self._id_in(reply, kind) or (known_id if reply.etag and not reply.data else None)
        if found_id is None or (known_id is not None and found_id != known_id):
            raise self.client.outage(Retry.UNKNOWN, "answer about something else", is_write=True)
        return Written(found_id, reply.said.status == 201)

    def _id_in(self, reply: Reply, kind: Kind) -> str | None:
        """What was written: from Location (201), Content-Location, or the body. A page of a proxy says none of them."""
        for name in ("location", "content-location"):
            found = referred(reply.headers.get(name), kind)
            if found is not None:
                return found
        try:
            body = orjson.loads(reply.data) if reply.data else None
        except orjson.JSONDecodeError:
            return None
        found = body.get("id") if isinstance(body, dict) and body.get("resourceType") == kind else None
        return found if isinstance(found, str) and ID.fullmatch(found) else None


def _next_link(bundle: Mapping[str, Any]) -> str | None:
    links = [one for one in bundle.get("link") or () if isinstance(one, dict)]
    return next((one["url"] for one in links if one.get("relation") == "next" and isinstance(one.get("url"), str)), None)
