"""The sandbox's own rules, request by request (PLATFORMS, section 1)."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from services.carepatron_writer.platforms.carepatron.sandbox import create_app
from shared.errors import Misconfigured
from tests.contract.writing_fakes import KEY

ROOT = "/v1/providers/clinic"
HEADERS = {"cp-api-key": KEY}
CONTACT = {"firstName": "Test", "lastName": "Marker", "email": "marker@example.org"}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Starlette]:
    made = create_app(tmp_path / "sandbox", api_key=KEY, provider_id="clinic")
    yield made
    made.state.close()


def _run(app: Starlette, work: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://sandbox", headers=HEADERS) as http:
            return await work(http)

    return asyncio.run(run())


def _metadata(content: bytes = b"text", **changes: Any) -> dict[str, Any]:
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


async def _put(http: httpx.AsyncClient, contact: str, metadata: Any, content: bytes = b"text") -> httpx.Response:
    files = {"metadata": (None, httpx.Response(200, json=metadata).content, "application/json"), "content": ("x", content, "text/plain")}
    return await http.put(f"{ROOT}/contacts/{contact}/documents/d1", files=files)


async def _contact(http: httpx.AsyncClient) -> str:
    return str((await http.post(f"{ROOT}/contacts", json=CONTACT)).json()["id"])


def test_the_key_opens_one_account(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> list[int]:
        return [
            (await http.get("/v1/ping", headers={"cp-api-key": "x"})).status_code,
            (await http.get(f"{ROOT}/secure-ping")).status_code,
            (await http.get(f"{ROOT}/secure-ping", headers={"cp-api-key": "x"})).status_code,
            (await http.get("/v1/providers/other/secure-ping")).status_code,
        ]

    assert _run(app, work) == [200, 200, 401, 403]


@pytest.mark.parametrize(
    ("changes", "status", "pointer"),
    [
        ({"contentType": "application/x-msdownload"}, 415, "/contentType"),
        ({"sha256": "0" * 64}, 422, "/sha256"),
        ({"size": 5}, 422, "/size"),
        ({"externalId": "other"}, 422, "/externalId"),
        ({"visibility": "client"}, 422, "/visibility"),
        ({"sourceVersion": 7}, 422, "/sourceVersion"),
        ({"title": ""}, 422, "/title"),
        ({"status": "withdrawn"}, 422, "/status"),
    ],
)
def test_wrong_metadata_is_refused_with_its_place(app: Starlette, changes: dict[str, Any], status: int, pointer: str) -> None:
    async def work(http: httpx.AsyncClient) -> httpx.Response:
        return await _put(http, await _contact(http), _metadata(**changes))

    answer = _run(app, work)

    assert status == answer.status_code
    assert answer.headers["content-type"] == "application/problem+json"
    assert pointer == answer.json()["errors"][0]["pointer"]


@pytest.mark.parametrize("body", [b"", b"--x", b"--x\r\n\r\n", b"--x--", b"--x\r\nname=\r\n\r\n\r\n--x--", b"\x00" * 64])
def test_a_broken_form_is_refused(app: Starlette, body: bytes) -> None:
    async def work(http: httpx.AsyncClient) -> int:
        path = f"{ROOT}/contacts/{await _contact(http)}/documents/d1"
        return (await http.put(path, content=body, headers={"content-type": "multipart/form-data; boundary=x"})).status_code

    assert _run(app, work) == 400


def test_other_content_types_and_too_much_are_refused(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> list[int]:
        path = f"{ROOT}/contacts/{await _contact(http)}/documents/d1"
        form = {"content-type": "multipart/form-data; boundary=x", "content-length": "99000000"}
        return [(await http.put(path, json={})).status_code, (await http.put(path, content=b"--x", headers=form)).status_code]

    assert _run(app, work) == [415, 413]


def test_versions_follow_the_rules(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> list[tuple[int, Any]]:
        contact = await _contact(http)
        answers = [
            await _put(http, contact, _metadata()),
            await _put(http, contact, _metadata()),
            await _put(http, contact, _metadata(sourceVersion="0001")),
            await _put(http, contact, _metadata(title="Other")),
            await _put(http, contact, _metadata(b"new", sourceVersion="0003"), b"new"),
        ]
        return [(one.status_code, one.headers.get("x-result") or one.json()["code"]) for one in answers]

    wanted = [(201, "created"), (200, "unchanged"), (409, "stale-version"), (409, "version-conflict"), (200, "updated")]
    assert wanted == _run(app, work)


def test_a_contact_changes_only_as_it_was_read(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> list[int]:
        path = f"{ROOT}/contacts/{await _contact(http)}"
        etag = (await http.get(path)).headers["etag"]
        tries = [{"if-match": etag}, {"if-match": etag}, {}]
        return [(await http.put(path, json={**CONTACT, "phoneNumber": "1"}, headers=one)).status_code for one in tries]

    assert _run(app, work) == [200, 412, 428]


def test_a_repeated_key_creates_once(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> list[httpx.Response]:
        sent = [('"k1"', CONTACT), ('"k1"', CONTACT), ('"k1"', {**CONTACT, "lastName": "Other"}), ("k1", CONTACT)]
        return [await http.post(f"{ROOT}/contacts", json=body, headers={"Idempotency-Key": key}) for key, body in sent]

    answers = _run(app, work)

    assert [one.status_code for one in answers] == [201, 201, 422, 400]
    assert answers[0].json()["id"] == answers[1].json()["id"]


def test_a_merged_contact_is_gone_and_names_the_survivor(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> httpx.Response:
        contact = await _contact(http)
        await http.post(f"/sandbox/contacts/{contact}/status", json={"status": "merged", "mergedInto": "survivor"})
        return await http.get(f"{ROOT}/contacts/{contact}")

    answer = _run(app, work)

    assert (answer.status_code, answer.json()["code"], answer.json()["mergedInto"]) == (410, "contact-merged", "survivor")


def test_people_are_found_without_names_in_urls(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> list[int]:
        await _contact(http)
        criteria: list[Any] = [[{"email": "MARKER@example.org"}], [{"firstName": "test", "lastName": "marker"}], [{"email": "x@y"}]]
        found = [await http.post(f"{ROOT}/contacts/search", json={"anyOf": one}) for one in criteria]
        broken: list[Any] = [{}, {"anyOf": []}, {"anyOf": [7]}, {"anyOf": [{}]}, {"anyOf": [{"email": 1}]}]
        refused = [(await http.post(f"{ROOT}/contacts/search", json=one)).status_code for one in broken]
        return [len(one.json()["items"]) for one in found] + refused

    assert _run(app, work) == [1, 1, 0, 400, 400, 400, 400, 400]


def test_content_comes_whole_in_parts_or_not_again(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> list[tuple[int, bytes]]:
        contact = await _contact(http)
        await _put(http, contact, _metadata())
        path = f"{ROOT}/contacts/{contact}/documents/d1/content"
        etag = (await http.get(path)).headers["etag"]
        tries: list[dict[str, str]] = [{}, {"range": "bytes=1-2"}, {"range": "bytes=-1"}, {"range": "bytes=9-"}, {"if-none-match": etag}]
        answers = [await http.get(path, headers=one) for one in tries]
        return [(one.status_code, one.content if one.status_code < 300 else b"") for one in answers]

    assert _run(app, work) == [(200, b"text"), (206, b"ex"), (206, b"t"), (416, b""), (304, b"")]


def test_the_state_hash_knows_no_order(tmp_path: Path) -> None:
    def state(name: str, order: list[int]) -> str:
        app = create_app(tmp_path / name, api_key=KEY)

        async def work(http: httpx.AsyncClient) -> str:
            for number in order:
                person = {**CONTACT, "lastName": f"Marker{number}", "externalReferences": [{"system": "s", "value": str(number)}]}
                contact = (await http.post(f"{ROOT}/contacts", json=person)).json()["id"]
                for version in order:
                    await _put(http, contact, _metadata(sourceVersion=f"{version}"))
            return str((await http.get("/sandbox/state-hash")).json()["hash"])

        try:
            return str(_run(app, work))
        finally:
            app.state.close()

    assert state("a", [1, 2, 3]) == state("b", [3, 1, 2])
    assert state("c", [1, 2]) != state("d", [1, 2, 3])


def test_a_folder_serves_one_sandbox(app: Starlette, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured):
        create_app(tmp_path / "sandbox", api_key=KEY)


def test_a_line_cut_off_by_a_crash_is_forgotten(tmp_path: Path) -> None:
    def effects() -> int:
        app = create_app(tmp_path / "sandbox", api_key=KEY)
        try:
            return int(_run(app, lambda http: http.get("/sandbox/state-hash")).json()["effects"])
        finally:
            app.state.close()

    app = create_app(tmp_path / "sandbox", api_key=KEY)
    _run(app, _contact)
    app.state.close()
    with (tmp_path / "sandbox" / "journal.ndjson").open("ab") as journal:
        journal.write(b'{"kind":"contact","id"')

    assert [effects(), effects()] == [1, 1]
