"""A tour through every operation and every status that the contract declares; each answer must be as described."""

import asyncio
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx
import yaml
from jsonschema import Draft202012Validator
from openapi_schema_validator import oas31_format_checker

from tests.contract.sandbox_ground import CONTACT, ROOT, FrozenClock, form, metadata, open_app, run, switch

FILE = Path(__file__).parents[2] / "services/carepatron_writer/platforms/carepatron/openapi.yaml"
OTHER = "00000000-0000-4000-8000-000000000000"
THROTTLED = {"windows": [{"requests": 1, "seconds": 60}]}


class Guide:
    """Looks at each answer of the contract: is it declared, are its headers there, does its body fit."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.seen: dict[str, set[str]] = defaultdict(set)
        self._spec = spec
        self._paths = [(re.compile(re.sub(r"{\w+}", "[^/]+", path)), item) for path, item in spec["paths"].items()]
        # the literal ones first: by-id is no document
        self._paths.sort(key=lambda pair: pair[0].pattern.count("[^/]+"))

    async def look(self, answer: httpx.Response) -> None:
        """An event hook of the client. Raises ValidationError or AssertionError."""
        path = answer.request.url.path.removeprefix("/v1")
        if path == answer.request.url.path:
            return
        await answer.aread()
        item = next(item for pattern, item in self._paths if pattern.fullmatch(path))
        operation = item[answer.request.method.lower()]
        declared = self._resolved(operation["responses"][str(answer.status_code)])
        for name, header in declared.get("headers", {}).items():
            assert name in answer.headers or not header.get("required"), name
            if name in answer.headers:
                self._check(header["schema"], answer.headers[name])
        kind = answer.headers.get("content-type", "").partition(";")[0]
        media = declared.get("content", {})
        assert bool(answer.content) is bool(media) or "*/*" in media
        if media:
            schema = media.get(kind, media.get("*/*"))["schema"]
            self._check(schema, answer.json() if kind.endswith("json") else answer.text)
        self.seen[operation["operationId"]].add(str(answer.status_code))

    def declared(self) -> dict[str, set[str]]:
        """Every status of every operation."""
        operations = [one for _, item in self._paths for name, one in item.items() if name != "parameters"]
        return {one["operationId"]: set(one["responses"]) - {"default"} for one in operations}

    def _check(self, schema: dict[str, Any], value: Any) -> None:
        whole = {**schema, "components": self._spec["components"]}
        Draft202012Validator(whole, format_checker=oas31_format_checker).validate(value)

    def _resolved(self, node: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self._spec["components"]["responses"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
        return found


def test_every_declared_answer_comes_and_is_as_described(tmp_path: Path) -> None:
    clock, guide = FrozenClock(), Guide(yaml.safe_load(FILE.read_text("utf-8")))

    async def tour(http: httpx.AsyncClient) -> None:
        http.event_hooks["response"].append(guide.look)
        await _doors(http)
        await _contacts(http)
        await _documents(http)
        await _content(http)
        await _shares(http)
        await _exports(http, clock)

    with open_app(tmp_path, now=clock) as app:
        run(app, tour)

    assert guide.declared() == dict(guide.seen)


async def _doors(http: httpx.AsyncClient) -> None:
    """No key, another key, another account: every operation."""
    await http.get("/v1/ping")
    await http.get(f"{ROOT}/secure-ping")
    await http.get("/v1/providers/other/secure-ping")
    contact, job = f"{ROOT}/contacts/{OTHER}", f"{ROOT}/contacts/export-jobs/{OTHER}"
    document = f"{contact}/documents/d1"
    asked = {
        "GET": (f"{ROOT}/secure-ping", f"{ROOT}/contacts", contact, f"{contact}/documents", document, f"{document}/content", job),
        "POST": (f"{ROOT}/contacts", f"{ROOT}/contacts/search", f"{ROOT}/contacts/export-jobs", f"{contact}/documents"),
        "PUT": (contact, document, f"{contact}/documents/by-id/{OTHER}"),
        "DELETE": (job, f"{document}/shares/{OTHER}"),
    }
    for method, paths in (*asked.items(), ("GET", (f"{job}/download",)), ("POST", (f"{document}/withdraw", f"{document}/shares"))):
        for path in paths:
            answer = await http.request(method, path, headers={"cp-api-key": "another"})
            assert answer.status_code == 401


async def _contacts(http: httpx.AsyncClient) -> None:
    path, key = f"{ROOT}/contacts", {"Idempotency-Key": '"c1"'}
    await http.get(path, params={"limit": 101})
    await http.get(path)
    await http.post(path, json={**CONTACT, "dateOfBirth": "1970-10-03", "customFields": {"a": [1]}}, headers=key)
    await http.post(path, json=CONTACT, headers=key)
    await http.post(path, json=CONTACT, headers={"Idempotency-Key": "c1"})
    await http.post(path, content=b"{}", headers={"content-type": "text/plain"})
    await http.post(path, json={"firstName": "x" * (1 << 20), "lastName": ""})
    await _twice_at_once(http, path, json=CONTACT)
    await http.post(f"{path}/search", json={"anyOf": [{"email": CONTACT["email"]}]})
    await http.post(f"{path}/search", json={"anyOf": []})
    await http.post(f"{path}/search", content=b"{}", headers={"content-type": "text/plain"})
    await http.post(f"{path}/search", content=b"x" * (1 << 21), headers={"content-type": "application/json"})
    contact = await _new(http)
    found = await http.get(contact)
    etag = {"if-match": found.headers["etag"]}
    for body, headers in (
        ({**CONTACT, "tags": ["x"]}, etag),
        (CONTACT, etag),
        (CONTACT, {}),
        ({}, etag),
    ):
        await http.put(contact, json=body, headers=headers)
    await http.put(contact, content=b"{", headers={**etag, "content-type": "application/json"})
    await http.put(contact, content=b"{}", headers={**etag, "content-type": "text/plain"})
    await http.put(contact, content=b"x" * (1 << 21), headers={**etag, "content-type": "application/json"})
    for method in ("GET", "PUT"):
        await http.request(method, f"{path}/{OTHER}")
    await _status(http, contact, "archived")
    await http.put(contact, json=CONTACT, headers=etag)
    await _status(http, contact, "merged")
    for method in ("GET", "PUT"):
        await http.request(method, contact)


async def _documents(http: httpx.AsyncClient) -> None:
    contact = await _new(http)
    documents, document = f"{contact}/documents", f"{contact}/documents/d1"
    for said in (metadata(), metadata(), metadata(sourceVersion="0001"), metadata(title="Other"), metadata(sourceVersion="0003")):
        await http.put(document, files=form(said))
    for _ in range(2):
        await http.post(document + "/withdraw", json={"reason": "withdrawn-by-source"})
    for body in ({"reason": "r", "sourceVersion": "0001"}, {}):
        await http.post(document + "/withdraw", json=body)
    await http.post(document + "/withdraw", content=b"[]", headers={"content-type": "application/json"})
    await http.post(document + "/withdraw", content=b"{}")
    await switch(http, locked=["d1"])
    await http.post(document + "/withdraw", json={"reason": "r"})
    await switch(http, locked=[])
    await http.get(document)
    for query in ({}, {"includeWithdrawn": "true"}, {"from": "yesterday"}):
        await http.get(documents, params=query)
    made = (await http.post(documents, files=form(metadata()), headers={"Idempotency-Key": '"d1"'})).json()["id"]
    await http.post(documents, files=form(metadata()), headers={"Idempotency-Key": "d1"})
    await _twice_at_once(http, documents, files=form(metadata()))
    plain = f"{documents}/by-id/{made}"
    await http.put(plain, files=form(metadata(sourceVersion="0001")))
    for method, path in (("PUT", document), ("POST", documents), ("PUT", plain)):
        await _bad_uploads(http, method, path)
    for method, path in (("GET", f"{documents}/none"), ("POST", f"{documents}/none/withdraw")):
        await http.request(method, path)
    await http.put(f"{documents}/by-id/{OTHER}", files=form(metadata()))
    for method, path in (("PUT", "documents/d1"), ("POST", "documents"), ("GET", "documents")):
        await http.request(method, f"{ROOT}/contacts/{OTHER}/{path}")
    await _gone(
        http, contact, (("PUT", "/d1"), ("POST", "/d1/withdraw"), ("PUT", f"/by-id/{made}"), ("POST", ""), ("GET", ""), ("GET", "/d1"))
    )


async def _bad_uploads(http: httpx.AsyncClient, method: str, path: str) -> None:
    """The same mistakes for every way to send a document."""
    newer = metadata(sourceVersion="0009")
    await http.request(method, path, content=b"--", headers={"content-type": "multipart/form-data; boundary=x"})
    await http.request(method, path, content=b"", headers={"content-type": "multipart/form-data; boundary=x", "content-length": "99000000"})
    await http.request(method, path, json={})
    await http.request(method, path, files=form(metadata(visibility="client")))
    await switch(http, quota_bytes=3)
    await http.request(method, path, files=form(newer))
    await switch(http, quota_bytes=None, locked=["d1"])
    await http.request(method, path, files=form(newer))
    await switch(http, locked=[])
    await http.post("/sandbox/limits", json=THROTTLED)
    for _ in range(2):
        await http.request(method, path, files=form(metadata(visibility="client")))
    await http.post("/sandbox/limits", json={"windows": []})


async def _content(http: httpx.AsyncClient) -> None:
    contact = await _new(http)
    path = f"{contact}/documents/d1/content"
    await http.get(path)
    await http.put(f"{contact}/documents/d1", files=form(metadata()))
    etag = (await http.get(path)).headers["etag"]
    for headers in ({"range": "bytes=1-2"}, {"range": "bytes=4-"}, {"if-none-match": etag}):
        await http.get(path, headers=headers)
    await _gone(http, contact, (("GET", "/d1/content"),))


async def _shares(http: httpx.AsyncClient) -> None:
    contact = await _new(http)
    path, whom = f"{contact}/documents/d1/shares", {"with": {"kind": "client", "id": contact.rpartition("/")[2]}}
    await http.post(path, json=whom)
    await http.put(f"{contact}/documents/d1", files=form(metadata()))
    await http.post(path, json=whom)
    share = (await http.post(path, json=whom, headers={"Idempotency-Key": '"s1"'})).json()["id"]
    await http.post(path, json={"with": {}}, headers={"Idempotency-Key": '"s1"'})
    await http.post(path, content=b"{}", headers={"Idempotency-Key": '"s2"'})
    await switch(http, locked=["d1"])
    await http.post(path, json=whom)
    await http.delete(f"{path}/{share}")
    await switch(http, locked=[])
    for _ in range(2):
        await http.delete(f"{path}/{share}")
    await _gone(http, contact, (("POST", "/d1/shares"), ("DELETE", f"/d1/shares/{share}")))


async def _exports(http: httpx.AsyncClient, clock: FrozenClock) -> None:
    path, key = f"{ROOT}/contacts/export-jobs", {"Idempotency-Key": '"e1"'}
    job = (await http.post(path, headers=key)).headers["location"]
    await http.post(path, json={"more": 1}, headers=key)
    await http.post(path, headers={"Idempotency-Key": "e1"})
    await http.post(path, content=b"all", headers={"content-type": "text/plain"})
    await _twice_at_once(http, path)
    for status in ("queued", "running", "completed"):
        assert (await http.get(job)).json()["status"] == status
        await http.get(f"{job}/download")
        clock.now += 0.25
    clock.now += 3600
    await http.get(job)
    await http.get(f"{job}/download")
    for method in ("DELETE", "DELETE", "GET"):
        await http.request(method, job)
    await http.get(f"{job}/download")


async def _new(http: httpx.AsyncClient) -> str:
    """The path of a new contact."""
    return f"{ROOT}/contacts/{(await http.post(f'{ROOT}/contacts', json=CONTACT)).json()['id']}"


async def _status(http: httpx.AsyncClient, contact: str, status: str) -> None:
    answer = await http.post(f"/sandbox/contacts/{contact.rpartition('/')[2]}/status", json={"status": status})
    assert answer.status_code == 200


async def _gone(http: httpx.AsyncClient, contact: str, asked: tuple[tuple[str, str], ...]) -> None:
    """The same requests to the contact when it is archived, then when it is merged."""
    for status in ("archived", "merged"):
        await _status(http, contact, status)
        for method, path in asked:
            await http.request(method, f"{contact}/documents{path}")


async def _twice_at_once(http: httpx.AsyncClient, path: str, **sent: Any) -> None:
    """Two requests with one key, the second while the first is under way."""
    await switch(http, processing_seconds=0.05)
    first, second = await asyncio.gather(*(http.post(path, headers={"Idempotency-Key": f'"at-once {path}"'}, **sent) for _ in range(2)))
    await switch(http, processing_seconds=0)
    assert {first.status_code, second.status_code} > {409}
