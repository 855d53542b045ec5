"""The sandbox's own rules for documents, request by request (PLATFORMS, section 1, operations 6 to 8 and 10)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from tests.contract.sandbox_ground import ROOT, FrozenClock, code_of, form, metadata, new_contact, open_app, put, run, switch
from tests.contract.writing_fakes import a_profile

Said = list[tuple[int, str | None]]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Starlette]:
    with open_app(tmp_path / "sandbox", now=FrozenClock()) as made:
        yield made


@pytest.mark.parametrize(
    ("changes", "status", "pointer"),
    [
        ({"contentType": "application/x-msdownload"}, 415, "/contentType"),
        ({"contentType": 7}, 422, "/contentType"),
        ({"contentType": []}, 422, "/contentType"),
        ({"sha256": "0" * 64}, 422, "/sha256"),
        ({"sha256": None}, 422, "/sha256"),
        ({"size": 5}, 422, "/size"),
        ({"size": 4.0}, 422, "/size"),
        ({"externalId": "other"}, 422, "/externalId"),
        ({"externalSystem": "urn:other"}, 422, "/externalSystem"),
        ({"visibility": "client"}, 422, "/visibility"),
        ({"sourceVersion": 7}, 422, "/sourceVersion"),
        ({"sourceVersion": ""}, 422, "/sourceVersion"),
        ({"type": "x" * 65}, 422, "/type"),
        ({"typeCoding": "LOINC"}, 422, "/typeCoding"),
        ({"title": ""}, 422, "/title"),
        ({"documentDate": 20261102}, 422, "/documentDate"),
        ({"authors": "Dr Who"}, 422, "/authors"),
        ({"source": None}, 422, "/source"),
        ({"status": "withdrawn"}, 422, "/status"),
        ({"status": {}}, 422, "/status"),
        ({"supersedes": 1}, 422, "/supersedes"),
        ({"summary": {"dietary": [1]}}, 422, "/summary"),
        ({"summary": []}, 422, "/summary"),
    ],
)
def test_wrong_metadata_is_refused_with_its_place(app: Starlette, changes: dict[str, Any], status: int, pointer: str) -> None:
    async def work(http: httpx.AsyncClient) -> httpx.Response:
        return await put(http, await new_contact(http), metadata(**changes))

    answer = run(app, work)

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (status, pointer)
    assert answer.headers["content-type"] == "application/problem+json"


def test_every_kind_of_content_of_the_profile_is_taken(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> list[int]:
        contact = await new_contact(http)
        kinds = a_profile().content.media_types
        return [(await put(http, contact, metadata(contentType=one, sourceVersion=f"{at}"))).status_code for at, one in enumerate(kinds)]

    assert run(app, work) == [201, 200, 200, 200, 200]


FORMS = (
    b"",
    b"--x",
    b"--x\r\n\r\n",
    b"--x--",
    b"--x\r\nname=\r\n\r\n\r\n--x--",
    b"\x00" * 64,
    b'--x\r\ncontent-disposition: form-data; name="content"\r\n\r\nt\r\n--x--',
)


@pytest.mark.parametrize("body", FORMS)
def test_a_broken_form_is_refused(app: Starlette, body: bytes) -> None:
    async def work(http: httpx.AsyncClient) -> int:
        path = f"{ROOT}/contacts/{await new_contact(http)}/documents/d1"
        return (await http.put(path, content=body, headers={"content-type": "multipart/form-data; boundary=x"})).status_code

    assert run(app, work) == 400


def test_other_parts_of_a_form_are_ignored_and_the_first_of_two_counts(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> bytes:
        contact = await new_contact(http)
        parts = [("é", (None, b"{}")), *form(metadata()).items(), ("content", ("y", b"other", "text/plain")), ("", (None, b""))]
        answer = await http.put(f"{ROOT}/contacts/{contact}/documents/d1", files=parts)
        assert answer.status_code == 201
        return (await http.get(f"{ROOT}/contacts/{contact}/documents/d1/content")).content

    assert run(app, work) == b"text"


def test_other_content_types_and_too_much_are_refused(tmp_path: Path) -> None:
    async def work(http: httpx.AsyncClient) -> list[int]:
        contact = await new_contact(http)
        path = f"{ROOT}/contacts/{contact}/documents/d1"
        announced = {"content-type": "multipart/form-data; boundary=x", "content-length": "99000000"}
        streamed = {"content-type": "multipart/form-data; boundary=x"}
        return [
            (await http.put(path, json={})).status_code,
            (await http.put(path, content=b"--x", headers=announced)).status_code,
            (await http.put(path, content=_pieces(2_000), headers=streamed)).status_code,
            (await put(http, contact, metadata(b"x" * 101), b"x" * 101)).status_code,
            (await put(http, contact, metadata(b"x" * 100), b"x" * 100)).status_code,
        ]

    with open_app(tmp_path / "small", profile=a_profile(content={"max_bytes": 100})) as app:
        assert run(app, work) == [415, 413, 413, 413, 201]


async def _pieces(count: int) -> Any:
    for _ in range(count):
        yield b"x" * 1024


def test_versions_follow_the_rules(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> Said:
        contact = await new_contact(http)
        answers = [
            await put(http, contact, metadata()),
            await put(http, contact, metadata()),
            await put(http, contact, metadata(sourceVersion="0001")),
            await put(http, contact, metadata(title="Other")),
            await put(http, contact, metadata(b"new"), b"new"),
            await put(http, contact, metadata(b"new", sourceVersion="0003"), b"new"),
            await put(http, contact, metadata()),
        ]
        assert answers[2].json()["storedVersion"] == "0002"
        return [code_of(one) for one in answers]

    stale, conflict = (409, "stale-version"), (409, "version-conflict")
    assert run(app, work) == [(201, "created"), (200, "unchanged"), stale, conflict, conflict, (200, "updated"), stale]


@settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.sampled_from(("put", "withdraw")), st.sampled_from("01234"), st.sampled_from((b"a", b"b"))), max_size=12)
)
def test_whatever_the_order_the_highest_version_is_on_top(app: Starlette, steps: list[tuple[str, str, bytes]]) -> None:
    async def work(http: httpx.AsyncClient) -> tuple[Said, Said, Any]:
        contact = await new_contact(http)
        top: tuple[str, bytes] | None = None
        highest, is_withdrawn = "", False
        wanted, answers = [], []
        for kind, version, content in steps:
            if kind == "withdraw":
                path = f"{ROOT}/contacts/{contact}/documents/d1/withdraw"
                answers.append(code_of(await http.post(path, json={"reason": "r", "sourceVersion": version})))
                if top is None:
                    wanted.append((404, "not-found"))
                elif version < highest:
                    wanted.append((409, "stale-version"))
                else:
                    wanted.append((200, "unchanged" if is_withdrawn else "withdrawn"))
                    highest, is_withdrawn = (highest if is_withdrawn else version), True
                continue
            answers.append(code_of(await put(http, contact, metadata(content, sourceVersion=version), content)))
            if top is not None and version <= highest:
                is_same = version == highest and (version, content) == top and not is_withdrawn
                refusal = "stale-version" if version < highest else "version-conflict"
                wanted.append((200, "unchanged") if is_same else (409, refusal))
            else:
                wanted.append((200, "updated") if top else (201, "created"))
                top, highest, is_withdrawn = (version, content), version, False
        stored = await http.get(f"{ROOT}/contacts/{contact}/documents/d1")
        assert top is None or (stored.json()["sourceVersion"], stored.json()["isWithdrawn"]) == (top[0], is_withdrawn)
        return wanted, answers, top

    wanted, answers, _ = run(app, work)

    assert answers == wanted


def test_taking_back_needs_no_version_and_a_higher_one_brings_it_back(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> list[Any]:
        contact = await new_contact(http)
        path = f"{ROOT}/contacts/{contact}/documents/d1"
        await put(http, contact, metadata())
        withdrawn = await http.post(f"{path}/withdraw", json={"reason": "withdrawn-by-source"})
        same = await put(http, contact, metadata())
        read = [(await http.get(path)).json()["withdrawReason"], (await http.get(f"{path}/content")).content]
        back = await put(http, contact, metadata(sourceVersion="0003"))
        body = back.json()
        return [code_of(withdrawn), code_of(same), *read, code_of(back), body["isWithdrawn"], body["versionCount"], body["withdrawReason"]]

    said = run(app, work)

    assert said[:4] == [(200, "withdrawn"), (409, "version-conflict"), "withdrawn-by-source", b"text"]
    assert said[4:] == [(200, "updated"), False, 2, None]


@pytest.mark.parametrize(
    "body", [{}, {"reason": ""}, {"reason": 7}, {"reason": "r", "sourceVersion": 7}, {"reason": "r", "sourceVersion": ""}]
)
def test_taking_back_says_why(app: Starlette, body: dict[str, Any]) -> None:
    async def work(http: httpx.AsyncClient) -> int:
        contact = await new_contact(http)
        await put(http, contact, metadata())
        return (await http.post(f"{ROOT}/contacts/{contact}/documents/d1/withdraw", json=body)).status_code

    assert run(app, work) == 422


CASES: list[tuple[dict[str, str], int, bytes, str | None]] = [
    ({}, 200, b"0123456789", None),
    ({"range": "bytes=2-4"}, 206, b"234", "bytes 2-4/10"),
    ({"range": "bytes=8-99"}, 206, b"89", "bytes 8-9/10"),
    ({"range": "bytes=7-"}, 206, b"789", "bytes 7-9/10"),
    ({"range": "bytes=-3"}, 206, b"789", "bytes 7-9/10"),
    ({"range": "bytes=-99"}, 206, b"0123456789", "bytes 0-9/10"),
    ({"range": "bytes=0-0"}, 206, b"0", "bytes 0-0/10"),
    ({"range": "bytes=10-"}, 416, b"", "bytes */10"),
    ({"range": "bytes=-0"}, 416, b"", "bytes */10"),
    ({"range": "bytes=4-2"}, 200, b"0123456789", None),
    ({"range": "bytes=-"}, 200, b"0123456789", None),
    ({"range": "bytes=0-1,3-4"}, 200, b"0123456789", None),
    ({"range": "lines=1-2"}, 200, b"0123456789", None),
    ({"range": "bytes=2-4", "if-range": '"other"'}, 200, b"0123456789", None),
    ({"range": "bytes=2-4", "if-range": "ETAG"}, 206, b"234", "bytes 2-4/10"),
    ({"if-none-match": "ETAG"}, 304, b"", None),
    ({"if-none-match": 'W/"x", W/ETAG'}, 304, b"", None),
    ({"if-none-match": "*"}, 304, b"", None),
    ({"if-none-match": '"x"'}, 200, b"0123456789", None),
]


@pytest.mark.parametrize(("headers", "status", "content", "where"), CASES)
def test_content_comes_whole_in_parts_or_not_again(
    app: Starlette, headers: dict[str, str], status: int, content: bytes, where: str | None
) -> None:
    async def work(http: httpx.AsyncClient) -> httpx.Response:
        contact = await new_contact(http)
        said = metadata(b"0123456789")
        await put(http, contact, said, b"0123456789")
        sent = {name: value.replace("ETAG", f'"{said["sha256"]}"') for name, value in headers.items()}
        return await http.get(f"{ROOT}/contacts/{contact}/documents/d1/content", headers=sent)

    answer = run(app, work)

    assert (answer.status_code, answer.headers.get("content-range")) == (status, where)
    assert status == 416 or answer.content == content
    assert status == 416 or answer.headers["etag"] == f'"{metadata(b"0123456789")["sha256"]}"'


def test_an_empty_document_has_no_ranges(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> list[int]:
        contact = await new_contact(http)
        await put(http, contact, metadata(b""), b"")
        path = f"{ROOT}/contacts/{contact}/documents/d1/content"
        return [(await http.get(path, headers=one)).status_code for one in ({}, {"range": "bytes=0-"}, {"range": "bytes=-1"})]

    assert run(app, work) == [200, 416, 416]


LISTED = [
    ({}, ["d5", "d3", "d4", "d2", "d1"]),
    ({"type": "letter"}, ["d2"]),
    ({"from": "2026-11-02"}, ["d5", "d3", "d4"]),
    ({"to": "2026-11-02"}, ["d3", "d4", "d2"]),
    ({"from": "2026-11-02", "to": "2026-11-02"}, ["d3", "d4"]),
    ({"from": "2026-10-01", "to": "2026-10-31"}, ["d2"]),
    ({"q": "LIPID panel"}, ["d3"]),
    ({"q": "panel"}, ["d5", "d3"]),
    ({"includeWithdrawn": "true", "q": "gone"}, ["d6"]),
    ({"includeWithdrawn": "false", "q": "gone"}, []),
    ({"limit": "2", "offset": "1"}, ["d3", "d4"]),
]


@pytest.mark.parametrize(("query", "wanted"), LISTED)
def test_every_filter_of_the_list_applies(app: Starlette, query: dict[str, str], wanted: list[str]) -> None:
    documents = {
        "d1": {"title": "No date"},
        "d2": {"documentDate": "2026-10", "type": "letter"},
        "d3": {"documentDate": "2026-11-02T23:30:00-05:00", "title": "Lipid Panel"},
        "d4": {"documentDate": "2026-11"},
        "d5": {"documentDate": "2026-11-09", "title": "Thyroid panel"},
        "d6": {"documentDate": "2026-12-01", "title": "Gone"},
    }

    async def work(http: httpx.AsyncClient) -> list[str]:
        path = f"{ROOT}/contacts/{await new_contact(http)}/documents"
        for name, said in documents.items():
            answer = await http.put(f"{path}/{name}", files=form(metadata(externalId=name, **said)))
            assert answer.status_code == 201
        await http.post(f"{path}/d6/withdraw", json={"reason": "r"})
        return [one["externalId"] for one in (await http.get(path, params=query)).json()["items"]]

    assert run(app, work) == wanted


@pytest.mark.parametrize(
    "query",
    [{"from": "2026-11"}, {"to": "2026-02-30"}, {"includeWithdrawn": "yes"}, {"includeWithdrawn": ""}, {"limit": "101"}, {"offset": "x"}],
)
def test_a_wrong_filter_is_refused_with_its_place(app: Starlette, query: dict[str, str]) -> None:
    async def work(http: httpx.AsyncClient) -> httpx.Response:
        return await http.get(f"{ROOT}/contacts/{await new_contact(http)}/documents", params=query)

    answer = run(app, work)

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, f"/{next(iter(query))}")


def test_a_full_account_takes_no_more_and_says_so(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> Said:
        contact, other = await new_contact(http), await new_contact(http)
        await switch(http, quota_bytes=10)
        answers = [
            await put(http, contact, metadata()),
            await put(http, other, metadata(b"sixsix"), b"sixsix"),
            await put(http, contact, metadata(b"x", sourceVersion="0003"), b"x"),
            await put(http, contact, metadata()),  # it is there already
            await put(http, contact, metadata(sourceVersion="0001")),  # and this one would not be kept
        ]
        await switch(http, quota_bytes=11)
        return [code_of(one) for one in (*answers, await put(http, contact, metadata(b"x", sourceVersion="0003"), b"x"))]

    full = (507, "storage-quota-exceeded")
    assert run(app, work) == [(201, "created"), (201, "created"), full, (200, "unchanged"), (409, "stale-version"), (200, "updated")]


def test_a_locked_document_waits(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> Said:
        contact = await new_contact(http)
        await put(http, contact, metadata())
        path = f"{ROOT}/contacts/{contact}/documents/d1"
        await switch(http, locked=[(await http.get(path)).json()["id"]])
        newer = metadata(sourceVersion="0003")
        answers = [await put(http, contact, newer), await http.post(f"{path}/withdraw", json={"reason": "r"}), await http.get(path)]
        await switch(http, locked=[])
        return [code_of(one) for one in (*answers, await put(http, contact, newer))]

    assert run(app, work) == [(423, "locked"), (423, "locked"), (200, None), (200, "updated")]


def test_a_platform_without_upsert_keeps_what_is_sent_twice_twice(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> tuple[Said, list[str], Said]:
        contact = await new_contact(http)
        path = f"{ROOT}/contacts/{contact}/documents"
        await switch(http, upsert=False)
        first = await http.post(path, files=form(metadata()))
        answers = [await put(http, contact, metadata()), first, await http.post(path, files=form(metadata())), await http.get(f"{path}/d1")]
        made = first.json()["id"]
        listed = [one["externalId"] for one in (await http.get(path)).json()["items"]]
        after = [
            await http.put(f"{path}/by-id/{made}", files=form(metadata(b"older", sourceVersion="0001"), b"older")),
            await http.get(f"{path}/{made}"),
            await http.post(f"{path}/{made}/withdraw", json={"reason": "r"}),
        ]
        assert (await http.get(f"{path}/{made}/content")).content == b"older"
        return [code_of(one) for one in answers], listed, [code_of(one) for one in after]

    answers, listed, after = run(app, work)

    assert answers == [(404, "not-found"), (201, "created"), (201, "created"), (404, "not-found")]
    assert listed == ["d1", "d1"]
    assert after == [(200, "updated"), (200, None), (200, "withdrawn")]


def test_the_two_ways_to_write_do_not_touch_each_other(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> tuple[Said, int]:
        contact = await new_contact(http)
        path = f"{ROOT}/contacts/{contact}/documents"
        ours = (await put(http, contact, metadata())).json()["id"]
        plain = (await http.post(path, files=form(metadata()))).json()["id"]
        answers = [
            await http.put(f"{path}/by-id/{ours}", files=form(metadata(sourceVersion="0009"))),
            await http.put(f"{path}/{plain}", files=form(metadata(externalId=plain, sourceVersion="0009"))),
        ]
        return [code_of(one) for one in answers], (await http.get(path)).json()["pagination"]["total"]

    assert run(app, work) == ([(404, "not-found"), (409, "version-conflict")], 2)


def test_the_state_hash_knows_no_order(tmp_path: Path) -> None:
    def state(name: str, order: list[int]) -> str:
        async def work(http: httpx.AsyncClient) -> str:
            for number in order:
                contact = await new_contact(http, lastName=f"Marker{number}", externalReferences=[{"system": "s", "value": str(number)}])
                for version in order:
                    await put(http, contact, metadata(sourceVersion=f"{version}"))
            return str((await http.get("/sandbox/state-hash")).json()["hash"])

        with open_app(tmp_path / name) as app:
            return run(app, work)

    assert state("a", [1, 2, 3]) == state("b", [3, 1, 2])
    assert state("c", [1, 2]) != state("d", [1, 2, 3])
