"""The write sequence of FHIR R4 over servers that differ: guards, races, several of one identity, mediation, lost answers."""

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest

from services.carepatron_writer.platforms.fhir_r4.sandbox import FhirServer, Switches
from services.carepatron_writer.platforms.port import Created, OutcomeUnknown, Parked, Rejected, Stale, Unchanged, Updated
from shared.errors import Unavailable
from shared.outcomes import Reason
from tests.contract.fhir_grounds import a_client, documents, is_put, once, open_fake, version_in
from tests.contract.writing_fakes import NEWER, OLDER, VERSION, a_key, an_upload

UNGUARDED = {"conditional_create": False, "conditional_update": False, "update_create": False}


def _writes(server: FhirServer, kind: str = "DocumentReference") -> list[Any]:
    return [one for one in server.asked if one.method in ("POST", "PUT") and f"/{kind}" in one.path and "_search" not in one.path]


@pytest.mark.parametrize(
    ("switches", "method", "where"),
    [
        ({}, "POST", "header"),
        ({"conditional_create": False}, "PUT", "query"),
        ({"conditional_create": False, "conditional_update": False}, "PUT", "path"),
        (UNGUARDED, "POST", "nowhere"),
    ],
    ids=["If-None-Exist", "conditional update", "id of ours", "search before and after"],
)
def test_a_creation_is_guarded_by_what_the_server_offers(switches: dict[str, Any], method: str, where: str) -> None:
    server, upload = FhirServer(Switches(**switches)), an_upload()

    async def run() -> Any:
        platform = open_fake(server)
        client = await a_client(platform)
        server.asked.clear()
        return await platform.put_document(client, upload)

    answer = asyncio.run(run())
    [write] = _writes(server)
    criteria = f"identifier=urn:healthrecords:document-id|{upload.document_id}"
    found = {
        "header": write.headers.get("if-none-exist") == criteria,
        "query": str(httpx.QueryParams(write.query)) == str(httpx.QueryParams({"identifier": criteria.partition("=")[2]})),
        "path": write.path.endswith(upload.document_id),
    }
    searches = [one for one in server.asked if one.method == "GET" and one.path.endswith("/DocumentReference")]

    assert isinstance(answer, Created)
    assert write.method == method
    assert [name for name, is_so in found.items() if is_so] == ([] if where == "nowhere" else [where])
    assert len(searches) == (2 if where == "nowhere" else 1)


@pytest.mark.parametrize("switches", [{}, UNGUARDED], ids=["conditional create", "bare create"])
def test_two_of_one_identity_are_a_question_for_a_person(switches: dict[str, Any]) -> None:
    server, upload = FhirServer(Switches(racy_create=True, **switches)), an_upload()

    async def run() -> list[Any]:
        first, second = open_fake(server), open_fake(server)  # two processes: no lock between them
        client = await a_client(first)
        barrier = asyncio.Barrier(2)

        async def meet() -> None:
            await barrier.wait()

        server.gap = meet
        made = await asyncio.gather(first.put_document(client, upload), second.put_document(client, upload))
        later = await first.put_document(client, replace(upload, version=NEWER))
        return [*made, later]

    *made, later = asyncio.run(run())

    assert len(documents(server)) == 2
    assert later == Parked(Reason.POSSIBLE_DUPLICATE, "DocumentReference.identifier")
    assert (Parked in [type(one) for one in made]) == bool(switches)  # whoever looks last sees both


def test_a_conditional_write_that_meets_several_is_a_question_for_a_person() -> None:
    server, upload = FhirServer(), an_upload()

    def double() -> None:
        for _ in range(2):
            server.store.put("DocumentReference", {**body, "masterIdentifier": {"value": a_key()}}, server.switches)

    body: dict[str, Any] = {"resourceType": "DocumentReference", "status": "current", "content": [{"attachment": {"title": "x"}}]}
    body["identifier"] = [{"system": "urn:healthrecords:document-id", "value": upload.document_id}]

    async def run() -> Any:
        client = await a_client(open_fake(server))
        meddle = once(lambda request: request.method == "POST" and request.url.path.endswith("/DocumentReference"), double)
        return await open_fake(server, meddle=meddle).put_document(client, upload)

    assert asyncio.run(run()) == Parked(Reason.POSSIBLE_DUPLICATE, "DocumentReference.identifier")


@pytest.mark.parametrize("status", [409, 412])
@pytest.mark.parametrize("content", ["inline", "Binary"])
def test_a_stale_if_match_means_read_again(status: Any, content: str) -> None:
    server, upload = FhirServer(Switches(stale_status=status)), an_upload()
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    def touch() -> None:  # the clinic files it under a tag of its own
        stored = documents(server)[0]
        server.store.put("DocumentReference", {**stored, "meta": {"tag": [{"code": "seen"}]}}, server.switches, stored["id"])

    async def run() -> Any:
        platform = open_fake(server)
        client = await a_client(platform)
        await platform.put_document(client, upload)
        meddle = once(lambda one: is_put(one) or (one.method == "POST" and one.url.path == "/fhir"), touch, times=2)
        settings = {"inline_max_bytes": 0} if content == "Binary" else {}
        racer = open_fake(server, meddle=meddle, said={"sleep": sleep}, **settings)
        return await racer.put_document(client, replace(upload, version=NEWER))

    answer = asyncio.run(run())

    assert isinstance(answer, Updated)
    assert [version_in(one) for one in documents(server)] == [NEWER]
    assert documents(server)[0]["meta"]["tag"] == [{"code": "seen"}]
    assert pauses == [0.05, 0.1]  # full jitter: half of what doubles each round


def test_a_newer_version_that_comes_in_between_stays() -> None:
    server, upload = FhirServer(), an_upload()

    async def run() -> Any:
        platform = open_fake(server)
        client = await a_client(platform)
        await platform.put_document(client, replace(upload, version=OLDER))
        newest = _as_version(documents(server)[0], NEWER)
        meddle = once(is_put, lambda: server.store.put("DocumentReference", newest, server.switches, newest["id"]))
        return await open_fake(server, meddle=meddle).put_document(client, upload)

    assert asyncio.run(run()) == Stale()
    assert [version_in(one) for one in documents(server)] == [NEWER]


def test_somebody_who_never_stops_costs_five_rounds_and_no_write() -> None:
    server, upload = FhirServer(), an_upload()

    def touch() -> None:
        stored = documents(server)[0]
        server.store.put("DocumentReference", stored, server.switches, stored["id"])

    async def run() -> Any:
        platform = open_fake(server)
        client = await a_client(platform)
        await platform.put_document(client, upload)
        racer = open_fake(server, meddle=once(is_put, touch, times=99))
        with pytest.raises(Unavailable) as caught:
            await racer.put_document(client, replace(upload, version=NEWER))
        return caught.value

    error = asyncio.run(run())

    assert not isinstance(error, OutcomeUnknown)  # nothing of ours was written
    assert [version_in(one) for one in documents(server)] == [VERSION]
    assert sum("if-match" in one.headers for one in _writes(server)) == 5


@pytest.mark.parametrize("switches", [{"conditional_create": False}, {"conditional_create": False, "conditional_update": False}])
def test_a_put_that_was_to_create_gives_back_what_it_overwrote(switches: dict[str, Any]) -> None:
    server, upload = FhirServer(Switches(**switches)), an_upload()

    async def run() -> Any:
        platform = open_fake(server)
        client = await a_client(platform)
        await platform.put_document(client, replace(upload, version=NEWER))
        [made] = documents(server)
        server.store.remove("DocumentReference", made["id"])
        wanted = made["id"] if "conditional_update" in switches else None
        newest = {name: value for name, value in made.items() if name != "id"}
        meddle = once(is_put, lambda: server.store.put("DocumentReference", newest, server.switches, wanted))
        return await open_fake(server, meddle=meddle).put_document(client, upload)

    assert asyncio.run(run()) == Stale()
    assert [version_in(one) for one in documents(server)] == [NEWER]


def test_an_index_that_lags_costs_a_round_and_nothing_else() -> None:
    server, upload = FhirServer(), an_upload()

    async def run() -> list[Any]:
        platform = open_fake(server)
        client = await a_client(platform)
        first = [await platform.put_document(client, replace(upload, version=one)) for one in (OLDER, VERSION)]
        server.set(Switches(lagging_index=True))
        return [*first, await platform.put_document(client, replace(upload, version=NEWER))]

    assert [Created, Updated, Updated] == [type(one) for one in asyncio.run(run())]
    assert [version_in(one) for one in documents(server)] == [NEWER]


def test_a_server_that_drops_our_version_is_asked_about_and_never_overwritten() -> None:
    server, upload = FhirServer(Switches(keeps_extensions=False)), an_upload()

    async def run() -> list[Any]:
        platform = open_fake(server)
        client = await a_client(platform)
        return [await platform.put_document(client, replace(upload, version=one)) for one in (VERSION, VERSION, NEWER)]

    first, again, newer = asyncio.run(run())

    assert isinstance(first, Created)
    assert again == Unchanged(first.external_id)  # masterIdentifier says so
    assert newer == Parked(Reason.READ_BACK_DIFFERS, "DocumentReference.extension")


def test_a_mediated_submission_is_awaited() -> None:
    server, upload = FhirServer(Switches(mediated_searches=2)), an_upload()

    async def run() -> list[Any]:
        platform = open_fake(server)
        client = await a_client(platform)
        return [await platform.put_document(client, replace(upload, version=one)) for one in (VERSION, NEWER)]

    assert [Created, Updated] == [type(one) for one in asyncio.run(run())]
    assert [version_in(one) for one in documents(server)] == [NEWER]


def test_a_mediated_submission_that_does_not_show_is_not_sent_twice() -> None:
    server, upload = FhirServer(Switches(mediated_searches=1000)), an_upload()
    clock = [0.0]

    async def run() -> list[int]:
        platform = open_fake(server, said={"clock": lambda: clock[0]})
        client = await a_client(platform)
        counts = []
        for moment in (0.0, 60.0, 3700.0):
            clock[0] = moment
            with pytest.raises(OutcomeUnknown):
                await platform.put_document(client, upload)
            counts.append(len(_writes(server)))
        return counts

    assert asyncio.run(run()) == [1, 1, 2]


@pytest.mark.parametrize("fault", ["lost", "html", "other"])
@pytest.mark.parametrize("settings", [{}, {"inline_max_bytes": 0}], ids=["inline", "Binary"])
@pytest.mark.parametrize(
    "switches", [{}, UNGUARDED, {**UNGUARDED, "transactions": False}], ids=["guarded", "bare", "bare, no transactions"]
)
def test_a_lost_answer_is_unknown_and_leaves_one_effect(fault: str, settings: dict[str, Any], switches: dict[str, Any]) -> None:
    server, upload = FhirServer(Switches(**switches)), an_upload()

    async def run() -> list[Any]:
        platform = open_fake(server, **settings)
        client = await a_client(platform)
        last_is_document = bool(settings) and not switches.get("transactions", True)
        server.faults = ["", fault] if last_is_document else [fault]
        with pytest.raises(OutcomeUnknown):
            await platform.put_document(client, upload)
        stored = await platform.find_document(client, upload.document_id, upload)
        return [stored, await platform.put_document(client, upload)]

    stored, again = asyncio.run(run())

    assert stored.is_same
    assert again == Unchanged(stored.external_id)
    assert len(documents(server)) == 1
    assert len(server.store.all("Binary")) == (1 if settings else 0)


def test_a_binary_whose_reference_failed_is_used_by_the_next_try() -> None:
    server, upload = FhirServer(Switches(**UNGUARDED, transactions=False)), an_upload()

    async def run() -> Any:
        platform = open_fake(server, inline_max_bytes=0)
        client = await a_client(platform)
        server.faults = ["", "down"]
        with pytest.raises(Unavailable):
            await platform.put_document(client, upload)
        return await platform.put_document(client, upload)

    assert isinstance(asyncio.run(run()), Created)
    assert len(server.store.all("Binary")) == 1


def test_a_wish_to_wait_is_passed_on() -> None:
    server, upload = FhirServer(), an_upload()

    async def run() -> Unavailable:
        platform = open_fake(server)
        client = await a_client(platform)
        server.faults = ["throttled"]
        with pytest.raises(Unavailable) as caught:
            await platform.put_document(client, upload)
        return caught.value

    error = asyncio.run(run())

    assert (isinstance(error, OutcomeUnknown), error.retry_after_seconds) == (False, 5.0)
    assert documents(server) == []


@pytest.mark.parametrize("code", ["HAPI-1094", "HAPI-1096", None])
def test_a_patient_who_goes_while_we_write_parks_the_document(code: str | None) -> None:
    server = FhirServer(Switches(missing_reference_code=code))

    async def run() -> Any:
        client = await a_client(open_fake(server))
        meddle = once(lambda one: one.method == "POST", lambda: server.store.remove("Patient", client))
        return await open_fake(server, meddle=meddle).put_document(client, an_upload())

    answer = asyncio.run(run())

    assert (Parked, Reason.CONTACT_MISSING) == (type(answer), answer.reason)


def test_another_reference_that_goes_while_we_write_is_looked_for_again() -> None:
    server, old = FhirServer(), an_upload()

    async def run() -> Any:
        platform = open_fake(server)
        client = await a_client(platform)
        first = await platform.put_document(client, old)
        meddle = once(lambda one: one.method == "POST", lambda: server.store.remove("DocumentReference", first.external_id))
        return await open_fake(server, meddle=meddle).put_document(client, an_upload(supersedes=old.document_id))

    assert isinstance(asyncio.run(run()), Created)
    assert "reference" not in documents(server)[0]["relatesTo"][0]["target"]


@pytest.mark.parametrize(
    ("said", "where"),
    [({"title": "a\x01b"}, "DocumentReference.text.div"), ({"authors": ("a\x02",)}, "DocumentReference.author[0].display")],
)
def test_what_fhir_does_not_allow_is_never_sent(said: dict[str, Any], where: str) -> None:
    server = FhirServer()

    async def run() -> Any:
        platform = open_fake(server)
        client = await a_client(platform)
        return await platform.put_document(client, an_upload(**said))

    assert asyncio.run(run()) == Rejected(Reason.PLATFORM_REJECTED, where)
    assert _writes(server) == []


def test_the_server_is_asked_once_an_hour_what_it_can_do() -> None:
    server, clock = FhirServer(), [0.0]

    async def run() -> list[int]:
        platform = open_fake(server, said={"clock": lambda: clock[0]})
        client = await a_client(platform)
        counts = []
        for moment in (0.0, 3500.0, 3700.0):
            clock[0] = moment
            await platform.put_document(client, an_upload())
            counts.append(sum(one.path.endswith("/metadata") for one in server.asked))
        return counts

    assert asyncio.run(run()) == [1, 1, 2]


def test_nothing_is_deleted_and_no_server_is_asked_for_when_something_changed() -> None:
    server, upload = FhirServer(Switches(has_last_updated=False)), an_upload()

    async def run() -> None:
        platform = open_fake(server, supersede="new_document")
        client = await a_client(platform)
        for version in (VERSION, NEWER):
            await platform.put_document(client, replace(upload, version=version))
        await platform.list_documents(client)
        await platform.read_back(client, upload.document_id)
        await platform.withdraw_document(client, upload.document_id, NEWER)

    asyncio.run(run())

    assert {one.method for one in server.asked} == {"GET", "POST", "PUT"}
    assert not any("_lastUpdated" in one.query or b"_lastUpdated" in one.body for one in server.asked)


def _as_version(document: dict[str, Any], version: str) -> dict[str, Any]:
    ours = [{**one, "valueString": version} if one["url"] == "version" else one for one in document["extension"][0]["extension"]]
    return {**document, "extension": [{**document["extension"][0], "extension": ours}]}
