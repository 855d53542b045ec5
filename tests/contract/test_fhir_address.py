"""What only a real FHIR server can show: several processes at one document, its own words for races, real transactions.

Runs where FHIR_BASE_URL names a server that may be written to without a login, or HAPI=1 with a script in FHIR_SERVER_START.
"""

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest

from services.carepatron_writer.platforms.fhir_r4.adapter import FhirR4
from services.carepatron_writer.platforms.port import Created, Parked, Stale, Unchanged, Updated
from shared.identity import digest
from shared.outcomes import Reason
from tests.contract.fhir_grounds import FHIR_JSON, a_client, has_address, open_fhir, real_address
from tests.contract.writing_fakes import NEWER, OLDER, VERSION, a_card, a_key, an_upload, until_done

pytestmark = pytest.mark.skipif(not has_address(), reason="no real server is named")
WAYS: list[dict[str, Any]] = [{}, {"inline_max_bytes": 0}, {"supersede": "new_document"}, {"submission": "iti_65"}]


def _ask(path: str) -> Any:
    return httpx.get(f"{real_address()}{path}", headers={"cache-control": "no-cache"}, timeout=20.0).json()


def _identified(document_id: str) -> list[Any]:
    entries = _ask(f"/DocumentReference?identifier=urn:healthrecords:document-id|{document_id}").get("entry", [])
    return [one["resource"] for one in entries]


@pytest.mark.parametrize("settings", WAYS)
def test_eight_processes_at_one_document_leave_one(settings: dict[str, Any]) -> None:
    document_id = a_key()
    uploads = [an_upload(document_id, f"{VERSION}.{number:02d}", f"{number}\n".encode()) for number in range(8)]

    async def run() -> tuple[list[Any], Any]:
        platforms = [open_fhir(real_address(), **settings) for _ in uploads]
        client = await a_client(platforms[0])
        writes = zip(platforms, uploads, strict=True)
        answers = await asyncio.gather(*(until_done(lambda p=p, u=u: p.put_document(client, u)) for p, u in writes))
        end = [await platforms[0].put_document(client, one) for one in uploads]
        stored = await platforms[0].find_document(client, document_id, uploads[-1])
        for one in platforms:
            await one.aclose()
        return [answers, end], stored

    (answers, end), stored = asyncio.run(run())
    shown = [one for one in _identified(document_id) if one["status"] == "current"]

    assert len(shown) == 1
    assert stored.is_same
    assert [type(one) for one in end] == [Stale] * 7 + [Unchanged]
    assert {type(one) for one in answers} <= {Created, Updated, Stale, Unchanged}
    if not settings.get("supersede") and not settings.get("submission"):
        assert len(_identified(document_id)) == 1


def test_eight_processes_at_one_patient_make_one() -> None:
    key = a_key()

    async def run() -> list[Any]:
        platforms = [open_fhir(real_address()) for _ in range(8)]
        answers = await asyncio.gather(*(until_done(lambda p=p: p.upsert_patient(a_card(key), None)) for p in platforms))
        for one in platforms:
            await one.aclose()
        return list(answers)

    answers = asyncio.run(run())

    assert len({one.external_id for one in answers}) == 1
    assert _ask(f"/Patient?identifier=urn:healthrecords:patient-key|{key}")["total"] == 1


@pytest.mark.parametrize("settings", WAYS)
@pytest.mark.parametrize("size", [1, 5 << 20, (5 << 20) + 1, 20 << 20])
def test_content_of_any_size_comes_back_as_it_went(settings: dict[str, Any], size: int) -> None:
    content = (bytes(range(256)) * (size // 256 + 1))[:size]
    upload = an_upload(content=content, media_type="application/pdf")

    async def run() -> list[Any]:
        platform = open_fhir(real_address(), **settings)
        client = await a_client(platform)
        answer = await platform.put_document(client, upload)
        found = [answer, await platform.read_back(client, upload.document_id), await platform.list_documents(client)]
        await platform.aclose()
        return found

    answer, read, listed = asyncio.run(run())

    assert isinstance(answer, Created)
    assert (read.sha256, read.size) == (digest(content), size)
    assert [(one.document_id, one.version) for one in listed] == [(upload.document_id, VERSION)]


def test_the_history_keeps_what_was_withdrawn() -> None:
    upload = an_upload()

    async def run() -> Any:
        platform = open_fhir(real_address())
        client = await a_client(platform)
        for version in (OLDER, VERSION):
            await platform.put_document(client, replace(upload, version=version))
        answer = await platform.withdraw_document(client, upload.document_id, VERSION)
        await platform.aclose()
        return answer

    answer = asyncio.run(run())
    history = _ask(f"/DocumentReference/{answer.external_id}/_history")

    assert [one["resource"]["status"] for one in history["entry"]] == ["entered-in-error", "current", "current"]


def test_a_patient_who_goes_between_reading_and_writing_parks_the_document() -> None:
    async def run() -> Any:
        platform = open_fhir(real_address())
        client = await a_client(platform)

        class Deleting(httpx.AsyncHTTPTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                if request.method == "POST":
                    async with httpx.AsyncClient() as own:
                        (await own.delete(f"{real_address()}/Patient/{client}", timeout=20.0)).raise_for_status()
                return await super().handle_async_request(request)

        racer = open_fhir(real_address(), transport=Deleting())
        answers = [await racer.put_document(client, an_upload()), await platform.put_document(client, an_upload())]
        await racer.aclose()
        await platform.aclose()
        return answers

    assert [(type(one), one.reason) for one in asyncio.run(run())] == [(Parked, Reason.CONTACT_MISSING)] * 2


def test_a_lost_answer_leaves_one_document_and_one_binary() -> None:
    upload = an_upload()

    class Losing(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            answer = await super().handle_async_request(request)
            if request.method in ("POST", "PUT") and not lost:
                lost.append(request)
                await answer.aclose()
                raise httpx.ReadError("lost", request=request)
            return answer

    lost: list[Any] = []

    async def run() -> list[Any]:
        platform = open_fhir(real_address())
        client = await a_client(platform)
        racer = open_fhir(real_address(), transport=Losing(), inline_max_bytes=0)
        answers = [
            await until_done(lambda: racer.put_document(client, upload)),
            await racer.find_document(client, upload.document_id, upload),
        ]
        await racer.aclose()
        await platform.aclose()
        return answers

    answer, stored = asyncio.run(run())

    assert (type(answer), stored.is_same, len(lost)) == (Unchanged, True, 1)
    assert len(_identified(upload.document_id)) == 1


def test_a_version_of_the_clinics_in_between_is_seen() -> None:
    upload = an_upload()

    async def run() -> Any:
        platform = open_fhir(real_address())
        client = await a_client(platform)
        made = await platform.put_document(client, upload)

        class Filing(httpx.AsyncHTTPTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                if request.method == "PUT" and not filed:
                    filed.append(request)
                    async with httpx.AsyncClient(base_url=real_address(), timeout=20.0) as own:
                        body = (await own.get(f"/DocumentReference/{made.external_id}")).json()
                        path = f"/DocumentReference/{made.external_id}"
                        (await own.put(path, json={**body, "description": "Filed"}, headers=FHIR_JSON)).raise_for_status()
                return await super().handle_async_request(request)

        racer = open_fhir(real_address(), transport=Filing())
        answer = await racer.put_document(client, replace(upload, version=NEWER))
        await racer.aclose()
        await platform.aclose()
        return answer

    filed: list[Any] = []
    answer = asyncio.run(run())

    assert isinstance(answer, Updated)
    assert _ask(f"/DocumentReference/{answer.external_id}")["meta"]["versionId"] == "3"


def test_a_probe_of_a_real_server_finds_nothing_missing() -> None:
    async def run() -> Any:
        platform: FhirR4 = open_fhir(real_address())
        found = await platform.probe()
        await platform.aclose()
        return found

    assert asyncio.run(run()) == ()


def test_a_person_known_by_name_and_email_is_found_without_a_name_in_a_url() -> None:
    mark = a_key()[:8]
    urls: list[str] = []

    async def run() -> list[Any]:
        class Seeing(httpx.AsyncHTTPTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                urls.append(str(request.url))
                return await super().handle_async_request(request)

        body = {"resourceType": "Patient", "name": [{"family": f"Marker-{mark}", "given": ["Ann"]}]}
        body["telecom"] = [{"system": "email", "value": f"{mark}@example.org"}]
        async with httpx.AsyncClient(base_url=real_address(), timeout=20.0) as own:
            known = (await own.post("/Patient", json=body, headers=FHIR_JSON)).json()["id"]
        platform = open_fhir(real_address(), transport=Seeing())
        card = a_card(first_name="Ann", last_name=f"Marker-{mark}", email=f"{mark}@example.org")
        answers = [known, await platform.upsert_patient(card, None), await platform.find_patient(card.patient_key)]
        partly = await platform.upsert_patient(replace(card, patient_key=a_key(), email="other@example.org", birth_date=None), None)
        await platform.aclose()
        return [*answers, partly]

    known, answer, found, partly = asyncio.run(run())

    assert (answer, found) == (Updated(known), known)
    assert [(one.external_id, one.agrees, one.differs) for one in partly.candidates] == [(known, ("name",), ("email",))]
    assert [one for one in urls if mark in one or "Marker" in one] == []
