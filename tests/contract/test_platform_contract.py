"""One suite for every platform: the fake in memory, the adapter over the sandbox in process, the adapter over a real socket."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.carepatron_writer.platforms.carepatron.sandbox import create_app
from services.carepatron_writer.platforms.port import Conflict, Created, Parked, Platform, Stale, Unchanged, Updated
from shared.identity import digest
from shared.outcomes import Reason
from tests.contract.writing_fakes import (
    KEY,
    NEWER,
    OLDER,
    VERSION,
    MemoryPlatform,
    RunningSandbox,
    a_card,
    a_key,
    an_upload,
    open_adapter,
)


@dataclass
class Ground:
    """A platform, and the clinic's hand on its clients."""

    platform: Platform
    set_status: Callable[[str, str], Coroutine[Any, Any, None]]


Opener = Callable[[], Any]


@pytest.fixture(params=["memory", "in process", "socket"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, account: str) -> Opener:
    """Opens a platform inside a running loop."""

    @asynccontextmanager
    async def memory() -> AsyncIterator[Ground]:
        platform = MemoryPlatform()

        async def set_status(external_id: str, status: str) -> None:
            platform.set_status(external_id, status)

        yield Ground(platform, set_status)

    @asynccontextmanager
    async def in_process() -> AsyncIterator[Ground]:
        app = create_app(tmp_path / "sandbox", api_key=KEY)
        transport = httpx.ASGITransport(app=app)
        adapter = open_adapter("http://127.0.0.1", account=account, transport=transport)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as own:

            async def set_status(external_id: str, status: str) -> None:
                await own.post(f"/sandbox/contacts/{external_id}/status", json={"status": status})

            yield Ground(adapter, set_status)
        await adapter.aclose()
        app.state.close()

    @asynccontextmanager
    async def socket() -> AsyncIterator[Ground]:
        sandbox: RunningSandbox = request.getfixturevalue("sandbox")
        adapter = open_adapter(sandbox.url, account=account)

        async def set_status(external_id: str, status: str) -> None:
            await asyncio.to_thread(sandbox.ask, f"/sandbox/contacts/{external_id}/status", {"status": status})

        yield Ground(adapter, set_status)
        await adapter.aclose()

    return {"memory": memory, "in process": in_process, "socket": socket}[request.param]


async def _client(platform: Platform, patient_key: str) -> str:
    answer = await platform.upsert_patient(a_card(patient_key), None)
    assert isinstance(answer, Created)
    return answer.external_id


def test_a_patient_is_created_once_and_found_again(opened: Opener) -> None:
    key = a_key()

    async def run() -> list[Any]:
        async with opened() as ground:
            first = await ground.platform.upsert_patient(a_card(key), None)
            again = [await ground.platform.upsert_patient(a_card(key), hint) for hint in (None, first.external_id, "gone-meanwhile")]
            return [first, *again, await ground.platform.find_patient(key), await ground.platform.find_patient(a_key())]

    first, *again, found, missing = asyncio.run(run())

    assert isinstance(first, Created)
    assert [Unchanged(first.external_id)] * 3 == again
    assert (first.external_id, None) == (found, missing)


def test_changed_facts_change_the_client(opened: Opener) -> None:
    key = a_key()

    async def run() -> tuple[Any, Any, Any]:
        async with opened() as ground:
            external_id = await _client(ground.platform, key)
            changed = a_card(key, phone="+1 555 0100", dietary_preferences=({"kind": "diet", "text": "Low sodium"},))
            first = await ground.platform.upsert_patient(changed, external_id)
            return external_id, first, await ground.platform.upsert_patient(changed, external_id)

    external_id, first, again = asyncio.run(run())

    assert (Updated(external_id), Unchanged(external_id)) == (first, again)


def test_somebody_alike_is_a_possible_duplicate(opened: Opener) -> None:
    async def run() -> Any:
        async with opened() as ground:
            known = a_card()
            await ground.platform.upsert_patient(known, None)
            return await ground.platform.upsert_patient(replace(known, patient_key=a_key()), None)

    answer = asyncio.run(run())

    assert isinstance(answer, Parked)
    assert Reason.POSSIBLE_DUPLICATE is answer.reason
    assert [one.agrees for one in answer.candidates] == [("name", "birth_date")]


@pytest.mark.parametrize(
    ("status", "reason"), [("archived", Reason.CONTACT_ARCHIVED), ("merged", Reason.CONTACT_MERGED)], ids=["archived", "merged"]
)
def test_clients_put_away_take_no_writes(opened: Opener, status: str, reason: Reason) -> None:
    key = a_key()

    async def run() -> list[Any]:
        async with opened() as ground:
            external_id = await _client(ground.platform, key)
            await ground.platform.put_document(external_id, an_upload())
            await ground.set_status(external_id, status)
            return [
                await ground.platform.upsert_patient(a_card(key, phone="1"), external_id),
                await ground.platform.put_document(external_id, an_upload()),
            ]

    assert [(Parked, reason)] * 2 == [(type(one), one.reason) for one in asyncio.run(run())]


def test_an_unknown_client_parks_the_document(opened: Opener) -> None:
    async def run() -> Any:
        async with opened() as ground:
            return await ground.platform.put_document(a_key(), an_upload())

    answer = asyncio.run(run())

    assert isinstance(answer, Parked)
    assert Reason.CONTACT_MISSING is answer.reason


def test_a_document_sent_five_times_is_written_once(opened: Opener) -> None:
    upload = an_upload()

    async def run() -> tuple[list[Any], Any]:
        async with opened() as ground:
            client = await _client(ground.platform, a_key())
            answers = [await ground.platform.put_document(client, upload) for _ in range(5)]
            return answers, await ground.platform.find_document(client, upload.document_id, upload)

    answers, stored = asyncio.run(run())

    assert isinstance(answers[0], Created)
    assert [Unchanged(answers[0].external_id)] * 4 == answers[1:]
    assert (stored.version, stored.version_count, stored.is_same, stored.is_withdrawn) == (VERSION, 1, True, False)


def test_the_highest_version_stays_whatever_the_order(opened: Opener) -> None:
    document_id = a_key()

    async def run() -> tuple[list[Any], Any]:
        async with opened() as ground:
            client = await _client(ground.platform, a_key())
            versions = [an_upload(document_id, version, version.encode()) for version in (VERSION, NEWER, OLDER, VERSION, NEWER)]
            answers = [await ground.platform.put_document(client, one) for one in versions]
            return answers, await ground.platform.find_document(client, document_id, versions[1])

    answers, stored = asyncio.run(run())

    assert [Created, Updated, Stale, Stale, Unchanged] == [type(one) for one in answers]
    assert (stored.version, stored.is_same) == (NEWER, True)


@pytest.mark.parametrize("change", ["content", "title"])
def test_the_same_version_with_other_content_is_a_conflict_and_changes_nothing(opened: Opener, change: str) -> None:
    first = an_upload()
    other = replace(first, title="Other") if change == "title" else replace(first, content=b"other", sha256=digest(b"other"))

    async def run() -> tuple[Any, Any]:
        async with opened() as ground:
            client = await _client(ground.platform, a_key())
            await ground.platform.put_document(client, first)
            answer = await ground.platform.put_document(client, other)
            return answer, await ground.platform.find_document(client, first.document_id, first)

    answer, stored = asyncio.run(run())

    assert Conflict() == answer
    assert stored.is_same


def test_withdrawing_repeats_and_does_not_come_back_with_an_older_version(opened: Opener) -> None:
    upload = an_upload()

    async def run() -> tuple[list[Any], Any]:
        async with opened() as ground:
            platform, client = ground.platform, await _client(ground.platform, a_key())
            answers = [
                await platform.withdraw_document(client, upload.document_id, NEWER),
                await platform.put_document(client, upload),
                await platform.withdraw_document(client, upload.document_id, OLDER),
                await platform.withdraw_document(client, upload.document_id, NEWER),
                await platform.withdraw_document(client, upload.document_id, NEWER),
                await platform.put_document(client, upload),
            ]
            return answers, await platform.find_document(client, upload.document_id, upload)

    answers, stored = asyncio.run(run())

    assert [Unchanged, Created, Stale, Updated, Unchanged, Stale] == [type(one) for one in answers]
    assert answers[0].external_id is None
    assert stored.is_withdrawn


def test_many_writers_of_one_document_leave_one_document(opened: Opener) -> None:
    document_id = a_key()

    async def run() -> tuple[list[Any], Any]:
        async with opened() as ground:
            client = await _client(ground.platform, a_key())
            versions = [an_upload(document_id, f"{VERSION}.{number:02d}", f"{number}".encode()) for number in range(20)]
            answers = await asyncio.gather(*(ground.platform.put_document(client, one) for one in versions[::-1] + versions))
            return answers, await ground.platform.find_document(client, document_id, versions[-1])

    answers, stored = asyncio.run(run())

    assert sum(isinstance(one, Created) for one in answers) == 1
    assert stored.is_same


def test_two_records_of_one_new_patient_at_once_make_one_client(opened: Opener) -> None:
    key = a_key()

    async def run() -> list[Any]:
        async with opened() as ground:
            return await asyncio.gather(*(ground.platform.upsert_patient(a_card(key), None) for _ in range(8)))

    answers = asyncio.run(run())

    assert sorted(type(one).__name__ for one in answers) == ["Created"] + ["Unchanged"] * 7
    assert len({one.external_id for one in answers}) == 1


def test_two_records_that_agree_in_part_at_once_make_one_client_and_a_question(opened: Opener) -> None:
    async def run() -> list[Any]:
        async with opened() as ground:
            key = a_key()
            known = a_card(key, first_name="Mira", email=f"{key}@example.org", birth_date="1984-06-12")
            other = replace(known, patient_key=a_key(), first_name="Mira Adaeze")
            return await asyncio.gather(ground.platform.upsert_patient(known, None), ground.platform.upsert_patient(other, None))

    answers = asyncio.run(run())

    assert sorted(type(one).__name__ for one in answers) == ["Created", "Parked"]
