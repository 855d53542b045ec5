"""The strict FHIR server itself: what it refuses that real servers take, and that its oddities are there when asked for."""

import asyncio
import base64
from typing import Any

import httpx
import orjson
import pytest

from services.carepatron_writer.platforms.fhir_r4.sandbox import FhirServer, Switches

JSON = {"content-type": "application/fhir+json"}
PATIENT = {"resourceType": "Patient", "name": [{"family": "Lee"}]}


def _document(patient: str, **said: Any) -> dict[str, Any]:
    body = {
        "resourceType": "DocumentReference",
        "status": "current",
        "subject": {"reference": f"Patient/{patient}"},
        "identifier": [{"system": "urn:x", "value": "1"}],
        "content": [{"attachment": {"contentType": "text/plain", "data": base64.b64encode(b"abc").decode()}}],
    }
    return {name: value for name, value in {**body, **said}.items() if value is not None}


def _ask(server: FhirServer, *requests: tuple[str, str, Any]) -> list[httpx.Response]:
    """Send one after the other; a callable makes its body from the answers so far."""

    async def run() -> list[httpx.Response]:
        answers: list[httpx.Response] = []
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=server.app), base_url="http://x") as client:
            for method, path, body in requests:
                made = body(answers) if callable(body) else body
                answers.append(await client.request(method, f"/fhir{path}", content=orjson.dumps(made) if made else None, headers=JSON))
        return answers

    return asyncio.run(run())


def _patient(server: FhirServer) -> str:
    [answer] = _ask(server, ("POST", "/Patient", PATIENT))
    return str(answer.json()["id"])


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ({"status": None}, "DocumentReference.status"),
        ({"status": "done"}, "DocumentReference.status"),
        ({"description": ""}, "DocumentReference.description"),
        ({"description": "  "}, "DocumentReference.description"),
        ({"colour": "red"}, "DocumentReference.colour"),
        ({"content": None}, "DocumentReference.content"),
        ({"content": []}, "DocumentReference.content"),
        ({"category": []}, "DocumentReference.category"),
        ({"category": {"text": "x"}}, "DocumentReference.category"),
        ({"date": "2026-11-02"}, "DocumentReference.date"),
        ({"date": "2026-11-02T08:00:00"}, "DocumentReference.date"),
        ({"context": {"period": {"start": "2026-11-02T08:00:00"}}}, "DocumentReference.context.period.start"),
        ({"content": [{"attachment": {"data": "YWJj"}}]}, "DocumentReference.content.attachment"),
        ({"content": [{"attachment": {"contentType": "text/plain", "data": "%%%"}}]}, "DocumentReference.content.attachment.data"),
        ({"content": [{"attachment": {"contentType": "text/plain", "size": "3"}}]}, "DocumentReference.content.attachment.size"),
        ({"content": [{"attachment": {"contentType": "text/plain", "data": "YWJj", "hash": "YWJj"}}]}, "DocumentReference.content.attachment.hash"),
        ({"extension": [{"url": "x"}]}, "DocumentReference.extension"),
        ({"extension": [{"url": "x", "valueString": "a", "valueCode": "b"}]}, "DocumentReference.extension"),
        ({"text": {"status": "generated", "div": "<p>no div</p>"}}, "DocumentReference.text.div"),
        ({"type": {"coding": [{"code": " a"}]}}, "DocumentReference.type.coding.code"),
    ],
)  # fmt: skip
def test_what_real_servers_take_is_refused_here(said: dict[str, Any], where: str) -> None:
    server = FhirServer()
    patient = _patient(server)

    [answer] = _ask(server, ("POST", "/DocumentReference", _document(patient, **said)))

    assert (answer.status_code, answer.json()["issue"][0]["expression"]) == (422, [where])
    assert server.store.all("DocumentReference") == []


def test_a_reference_to_nobody_is_refused() -> None:
    server = FhirServer()

    [answer] = _ask(server, ("POST", "/DocumentReference", _document("9")))

    assert answer.status_code == 400
    assert answer.json()["issue"][0]["diagnostics"].startswith("HAPI-1094:")


def test_a_transaction_is_all_or_nothing() -> None:
    server = FhirServer()
    patient = _patient(server)
    binary = {"resourceType": "Binary", "contentType": "text/plain", "data": "YWJj"}
    good = {"fullUrl": "urn:uuid:1", "resource": binary, "request": {"method": "POST", "url": "Binary"}}
    bad = {"resource": _document(patient, status=None), "request": {"method": "POST", "url": "DocumentReference"}}
    link = {"content": [{"attachment": {"contentType": "text/plain", "url": "urn:uuid:1"}}]}
    fine = {"resource": _document(patient, **link), "request": {"method": "POST", "url": "DocumentReference"}}

    def bundle(*entries: Any) -> dict[str, Any]:
        return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}

    refused, done = _ask(server, ("POST", "", bundle(good, bad)), ("POST", "", bundle(fine, good)))

    assert (refused.status_code, done.status_code) == (422, 200)
    assert [one["response"]["location"].partition("/")[0] for one in done.json()["entry"]] == ["DocumentReference", "Binary"]
    [document], [stored] = server.store.all("DocumentReference"), server.store.all("Binary")
    assert document["content"][0]["attachment"]["url"] == f"Binary/{stored['id']}"


def test_one_identity_twice_in_a_transaction_is_refused_where_others_drop_one() -> None:
    server = FhirServer()
    patient = _patient(server)
    request = {"method": "POST", "url": "DocumentReference", "ifNoneExist": "identifier=urn:x|1"}
    entries = [{"resource": _document(patient), "request": request}] * 2

    [answer] = _ask(server, ("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries}))

    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("switches", "expected"),
    [({}, (412, 'W/"2"')), ({"stale_status": 409}, (409, 'W/"2"')), ({"versioning": False}, (200, None))],
)
def test_a_stale_if_match(switches: dict[str, Any], expected: tuple[int, str | None]) -> None:
    server = FhirServer(Switches(**switches))
    patient = _patient(server)

    async def run() -> tuple[int, str | None]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=server.app), base_url="http://x/fhir") as client:
            body = orjson.dumps({**PATIENT, "id": patient})
            await client.put(f"/Patient/{patient}", content=body, headers=JSON)
            stale = await client.put(f"/Patient/{patient}", content=body, headers={**JSON, "if-match": 'W/"1"'})
            return stale.status_code, (await client.get(f"/Patient/{patient}")).headers.get("etag")

    assert asyncio.run(run()) == expected


def test_tags_are_added_and_never_replaced() -> None:
    server = FhirServer()
    patient = _patient(server)
    for tag in ("a", "b"):
        _ask(server, ("PUT", f"/Patient/{patient}", {**PATIENT, "id": patient, "meta": {"tag": [{"code": tag}]}}))

    assert [one["code"] for one in server.rest.read("Patient", patient)["meta"]["tag"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("switches", "path", "expected"),
    [
        ({}, "/Patient?_lastUpdated=gt2026", 200),
        ({"has_last_updated": False}, "/Patient?_lastUpdated=gt2026", 400),
        ({}, "/Patient?shoe-size=43", 400),
        ({}, "/Observation", 404),
        ({}, "/Patient/none", 404),
        ({"versioning": False}, "/Patient/1000/_history", 404),
    ],
)
def test_what_may_be_asked(switches: dict[str, Any], path: str, expected: int) -> None:
    server = FhirServer(Switches(**switches))
    _patient(server)

    assert _ask(server, ("GET", path, None))[0].status_code == expected


def test_the_statement_says_what_the_switches_leave() -> None:
    [answer] = _ask(FhirServer(Switches(conditional_create=False, transactions=False, has_last_updated=False)), ("GET", "/metadata", None))
    [rest] = answer.json()["rest"]
    document = rest["resource"][0]

    assert (document["conditionalCreate"], document["conditionalUpdate"], rest["interaction"]) == (False, True, [])
    assert "_lastUpdated" not in [one["name"] for one in document["searchParam"]]


def test_ids_made_of_digits_are_refused_as_ours() -> None:
    answers = _ask(FhirServer(), *[("PUT", f"/Patient/{one}", {**PATIENT, "id": one}) for one in ("77", "a77")])

    assert [one.status_code for one in answers] == [405, 201]


def test_opaque_versions_are_no_numbers() -> None:
    server = FhirServer(Switches(opaque_versions=True))
    _patient(server)

    assert not server.store.all("Patient")[0]["meta"]["versionId"].isdigit()
