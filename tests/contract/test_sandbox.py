"""The sandbox's own rules for accounts and contacts, request by request (PLATFORMS, section 1)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from shared.errors import Misconfigured
from tests.contract.sandbox_ground import CONTACT, ROOT, FrozenClock, code_of, new_contact, open_app, put, run
from tests.contract.sandbox_ground import metadata as described

OURS = {"system": "urn:healthrecords:patient-key", "value": "p1"}


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def app(tmp_path: Path, clock: FrozenClock) -> Iterator[Starlette]:
    with open_app(tmp_path / "sandbox", now=clock) as made:
        yield made


def test_the_key_opens_one_account(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> list[int]:
        return [
            (await http.get("/v1/ping", headers={"cp-api-key": "x"})).status_code,
            (await http.get(f"{ROOT}/secure-ping")).status_code,
            (await http.get(f"{ROOT}/secure-ping", headers={"cp-api-key": "x"})).status_code,
            (await http.get(f"{ROOT}/secure-ping", headers={"cp-api-key": "schlüssel".encode("latin-1")})).status_code,
            (await http.get("/v1/providers/other/secure-ping")).status_code,
        ]

    assert run(app, work) == [200, 200, 401, 401, 403]


def test_nobody_sees_the_contacts_of_another_account(tmp_path: Path) -> None:
    async def work(http: httpx.AsyncClient) -> list[Any]:
        contact, other = await new_contact(http), "/v1/providers/other/contacts"
        found = await http.post(f"{other}/search", json={"anyOf": [{"email": CONTACT["email"]}]})
        return [(await http.get(f"{other}/{contact}")).status_code, found.json()["items"], (await http.get(other)).json()["items"]]

    with open_app(tmp_path / "any", provider_id=None) as app:
        assert run(app, work) == [404, [], []]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/nothing"), ("DELETE", f"{ROOT}/contacts"), ("GET", "/v1/providers/a%0Ab/contacts")]
)
def test_what_no_operation_answers_is_a_problem_too(app: Starlette, method: str, path: str) -> None:
    answer = run(app, lambda http: http.request(method, path))

    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
    assert set(answer.headers.get("allow", "").split(", ")) == ({"GET", "HEAD", "POST"} if method == "DELETE" else {""})


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"firstName": "", "lastName": ""}, "/firstName"),
        ({"firstName": None}, "/firstName"),
        ({"lastName": "x" * 301}, "/lastName"),
        ({"email": "nobody"}, "/email"),
        ({"email": "a b@c"}, "/email"),
        ({"email": 7}, "/email"),
        ({"isClient": "yes"}, "/isClient"),
        ({"phoneNumber": 7}, "/phoneNumber"),
        ({"dateOfBirth": "2026-02-30"}, "/dateOfBirth"),
        ({"dateOfBirth": "19701003"}, "/dateOfBirth"),
        ({"tags": ["a", 1]}, "/tags"),
        ({"externalReferences": [{"system": "s"}]}, "/externalReferences"),
        ({"externalReferences": [{"system": "s", "value": ""}]}, "/externalReferences"),
        ({"medicalHistory": {}}, "/medicalHistory"),
        ({"dietaryPreferences": ["x"]}, "/dietaryPreferences"),
        ({"nutritionChanges": None}, "/nutritionChanges"),
        ({"customFields": []}, "/customFields"),
    ],
)
def test_a_wrong_contact_is_refused_with_its_place(app: Starlette, changes: dict[str, Any], pointer: str) -> None:
    answer = run(app, lambda http: http.post(f"{ROOT}/contacts", json={**CONTACT, **changes}))

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"7", b"{", b'{"a":1e999}x', b'{"firstName":"\xff"}', b'{"firstName":"\\ud800"}', b"[" * 2000]
)
def test_what_is_no_json_object_is_refused(app: Starlette, body: bytes) -> None:
    answer = run(app, lambda http: http.post(f"{ROOT}/contacts", content=body, headers={"content-type": "application/json"}))

    assert code_of(answer) == (400, "invalid-request")


def test_json_as_deep_as_it_is_taken_is_given_out_again(app: Starlette) -> None:
    def nested(levels: int) -> Any:
        return {"deeper": nested(levels - 1)} if levels else {}

    async def work(http: httpx.AsyncClient) -> list[int]:
        answers = [await http.post(f"{ROOT}/contacts", json={**CONTACT, "customFields": nested(levels)}) for levels in (62, 63, 400)]
        listed = await http.get(f"{ROOT}/contacts")
        return [one.status_code for one in (*answers, listed)]

    assert run(app, work) == [201, 400, 400, 200]


def test_other_kinds_of_body_are_refused(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> list[tuple[int, str | None]]:
        tries: list[dict[str, str]] = [
            {"content-type": "text/plain"},
            {"content-type": "application/json", "content-encoding": "gzip"},
            {"content-type": "application/json", "content-length": "9" * 18},
            {"content-type": "application/merge-patch+json; charset=utf-8", "content-encoding": "identity"},
        ]
        body = b'{"firstName":"Test","lastName":"Marker"}'
        return [code_of(await http.post(f"{ROOT}/contacts", content=body, headers=one)) for one in tries]

    kinds = run(app, work)

    assert kinds == [(415, "unsupported-media-type"), (415, "unsupported-media-type"), (413, "payload-too-large"), (201, None)]


def test_unknown_members_are_ignored_and_known_ones_kept(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> dict[str, Any]:
        sent = {**CONTACT, "id": "mine", "status": "archived", "tags": ["x"], "more": 1}
        return dict((await http.post(f"{ROOT}/contacts", json=sent)).json())

    stored = run(app, work)

    assert stored["tags"] == ["x"]
    assert (stored["id"] != "mine", stored["status"], "more" in stored) == (True, "active", False)
    assert stored["createdAt"] == "2026-11-02T18:14:48.000000Z"


def test_a_contact_changes_only_as_it_was_read(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> list[tuple[int, str | None]]:
        path = f"{ROOT}/contacts/{await new_contact(http)}"
        etag = (await http.get(path)).headers["etag"]
        tries: list[dict[str, str]] = [
            {"if-match": etag},
            {"if-match": etag},
            {},
            {"if-match": '"0", "2"'},
            {"if-match": "*"},
            {"if-match": 'W/"4"'},
        ]
        return [
            code_of(await http.put(path, json={**CONTACT, "phoneNumber": str(number)}, headers=one)) for number, one in enumerate(tries)
        ]

    answers = run(app, work)

    assert answers == [
        (200, None),
        (412, "precondition-failed"),
        (428, "invalid-request"),
        (200, None),
        (200, None),
        (412, "precondition-failed"),
    ]


def test_the_same_contact_again_is_no_change(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> tuple[str, int]:
        path = f"{ROOT}/contacts/{await new_contact(http)}"
        answer = await http.put(path, json=CONTACT, headers={"if-match": "*"})
        return answer.headers["etag"], (await http.get("/sandbox/effects")).json()["total"]

    assert run(app, work) == ('"1"', 1)


def test_an_archived_contact_is_read_and_not_written(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> list[tuple[int, str | None]]:
        contact = await new_contact(http)
        path = f"{ROOT}/contacts/{contact}"
        await put(http, contact, described())
        await http.post(f"/sandbox/contacts/{contact}/status", json={"status": "archived"})
        tries = [await http.get(path), await http.put(path, json=CONTACT), await put(http, contact, described(sourceVersion="0003"))]
        await http.post(f"/sandbox/contacts/{contact}/status", json={"status": "active"})
        return [code_of(one) for one in (*tries, await put(http, contact, described(sourceVersion="0003")))]

    assert run(app, work) == [(200, None), (409, "contact-archived"), (409, "contact-archived"), (200, "updated")]


def test_a_merged_contact_is_gone_and_names_the_survivor(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> httpx.Response:
        contact = await new_contact(http)
        await http.post(f"/sandbox/contacts/{contact}/status", json={"status": "merged", "mergedInto": "survivor"})
        return await http.get(f"{ROOT}/contacts/{contact}")

    answer = run(app, work)

    assert (answer.status_code, answer.json()["code"], answer.json()["mergedInto"]) == (410, "contact-merged", "survivor")


def test_documents_and_references_move_with_a_merge(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> tuple[list[Any], ...]:
        gone, stays = await new_contact(http, externalReferences=[OURS]), await new_contact(http)
        await put(http, gone, described(sourceVersion="0009"))
        await put(http, stays, described())
        merged = (await http.post(f"/sandbox/contacts/{gone}/merge", json={"into": stays})).json()
        found = await http.post(f"{ROOT}/contacts/search", json={"anyOf": [{"externalReference": OURS}]})
        listed = (await http.get(f"{ROOT}/contacts/{stays}/documents")).json()["items"]
        document = (await http.get(f"{ROOT}/contacts/{stays}/documents/d1")).json()
        facts = [merged["id"] == stays, merged["externalReferences"], code_of(await http.get(f"{ROOT}/contacts/{gone}"))[1]]
        return (
            facts,
            [one["id"] == stays for one in found.json()["items"]][1:],
            [one["sourceVersion"] for one in listed],
            [document["sourceVersion"]],
        )

    facts, found, listed, document = run(app, work)

    assert facts == [True, [OURS], "contact-merged"]
    assert found == [True]  # behind the one that was merged away
    assert sorted(listed) == ["0002", "0009"]
    assert document == ["0009"]  # the higher version keeps the reference


@pytest.mark.parametrize("body", [{"into": "nobody"}, {"into": "self"}, {"moves": "yes"}])
def test_a_merge_needs_another_contact(app: Starlette, body: dict[str, Any]) -> None:
    async def work(http: httpx.AsyncClient) -> int:
        contact = await new_contact(http)
        asked = {name: contact if value == "self" else value for name, value in body.items()}
        return (await http.post(f"/sandbox/contacts/{contact}/merge", json=asked)).status_code

    assert run(app, work) == 400


def test_people_are_found_without_names_in_urls(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> list[int]:
        await new_contact(http)
        await new_contact(http, firstName="Mononym", lastName="", email=None)
        criteria: list[Any] = [
            [{"email": "MARKER@example.org"}],
            [{"firstName": "test", "lastName": "marker"}],
            [{"firstName": "mononym", "lastName": ""}],
            [{"email": "x@y"}],
            [{"email": ""}],
        ]
        found = [await http.post(f"{ROOT}/contacts/search", json={"anyOf": one}) for one in criteria]
        broken: list[Any] = [
            {},
            {"anyOf": []},
            {"anyOf": [7]},
            {"anyOf": [{}]},
            {"anyOf": [{"email": 1}]},
            {"anyOf": [{"email": "x"}] * 11},
        ]
        refused = [(await http.post(f"{ROOT}/contacts/search", json=one)).status_code for one in broken]
        return [len(one.json()["items"]) for one in found] + refused

    assert run(app, work) == [1, 1, 1, 0, 0] + [400] * 6


def test_every_filter_of_the_list_applies(app: Starlette, clock: FrozenClock) -> None:
    async def work(http: httpx.AsyncClient) -> list[list[str]]:
        await new_contact(http, firstName="A", externalReferences=[OURS])
        clock.now += 60
        await new_contact(http, firstName="B", externalReferences=[OURS], email="other@example.org")
        await new_contact(http, firstName="C")
        here = {"externalSystem": OURS["system"], "externalValue": OURS["value"]}
        queries: list[dict[str, str]] = [
            {},
            here,
            {"email": "Marker@example.org"},
            {**here, "email": "other@example.org"},
            {"updatedSince": "2026-11-03T00:00:48+05:45"},
            {"updatedSince": "2026-11-03T00:00:49+05:45"},
            {"limit": "1", "offset": "1"},
            {"offset": "99"},
        ]
        answers = [(await http.get(f"{ROOT}/contacts", params=one)).json() for one in queries]
        assert answers[6]["pagination"] == {"limit": 1, "offset": 1, "total": 3}
        return [[one["firstName"] for one in answer["items"]] for answer in answers]

    assert run(app, work) == [["A", "B", "C"], ["A", "B"], ["A", "C"], ["B"], ["B", "C"], [], ["B"], []]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"limit": "0"}, "/limit"),
        ({"limit": "101"}, "/limit"),
        ({"limit": "ten"}, "/limit"),
        ({"limit": "１０"}, "/limit"),
        ({"limit": ""}, "/limit"),
        ({"offset": "-1"}, "/offset"),
        ({"offset": "1e3"}, "/offset"),
        ({"offset": "9" * 4301}, "/offset"),
        ({"updatedSince": "yesterday"}, "/updatedSince"),
        ({"updatedSince": "2026-11-02"}, "/updatedSince"),
        ({"updatedSince": "2026-11-02T10:00:00"}, "/updatedSince"),
        ({"externalSystem": "s"}, "/externalValue"),
        ({"externalValue": "v"}, "/externalValue"),
    ],
)
def test_a_wrong_query_is_refused_with_its_place(app: Starlette, query: dict[str, str], pointer: str) -> None:
    answer = run(app, lambda http: http.get(f"{ROOT}/contacts", params=query))

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, pointer)


@pytest.mark.parametrize("body", [{"limit": 0}, {"limit": "10"}, {"limit": True}, {"limit": None}, {"limit": 1.5}, {"offset": -1}])
def test_a_wrong_page_of_a_search_is_refused(app: Starlette, body: dict[str, Any]) -> None:
    answer = run(app, lambda http: http.post(f"{ROOT}/contacts/search", json={"anyOf": [{"email": "x@y"}], **body}))

    assert answer.status_code == 400


def test_an_unknown_chaos_does_not_start(tmp_path: Path) -> None:
    for chaos in ("earthquake", "down:2", "down:often"):
        with pytest.raises(Misconfigured), open_app(tmp_path / "sandbox", chaos=chaos):
            pass


def test_problems_say_what_they_are_and_no_value(app: Starlette) -> None:
    async def work(http: httpx.AsyncClient) -> httpx.Response:
        return await http.post(f"{ROOT}/contacts", json={**CONTACT, "email": "HOSTILE-MARKER"})

    answer = run(app, work)
    body = answer.json()

    assert body["type"] == f"https://healthrecords.example/problems/{body['code']}"
    assert body["instance"].startswith("urn:uuid:")
    assert "MARKER" not in answer.text
