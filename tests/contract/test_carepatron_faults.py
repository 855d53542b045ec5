"""The adapter against a destination that misbehaves, over a real socket (FAULTS.md, rows 17 to 23)."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from services.carepatron_writer.platforms.http import ApiKey
from services.carepatron_writer.platforms.port import Created, OutcomeUnknown, Unchanged
from shared.errors import Unavailable
from tests.contract.writing_fakes import KEY, NEWER, VERSION, RunningSandbox, a_card, a_key, a_profile, an_upload, open_adapter, until_done


async def _failure(call: Any) -> Unavailable:
    try:
        await call
    except Unavailable as error:
        return error
    raise AssertionError("it answered")


def test_a_lost_answer_is_unknown_and_leaves_one_effect(sandbox: RunningSandbox, account: str) -> None:
    uploads = [an_upload() for _ in range(40)]

    async def run() -> None:
        adapter = open_adapter(sandbox.url, account=account)
        client: Any = await adapter.upsert_patient(a_card(), None)
        with sandbox.chaos("lost-ack", account=account, rate=0.3):
            await asyncio.gather(*(until_done(lambda one=one: adapter.put_document(client.external_id, one)) for one in uploads * 3))
        await adapter.aclose()

    asyncio.run(run())
    effects = sandbox.effects(*(one.document_id for one in uploads))

    assert sorted(one.document_id for one in uploads) == sorted(one["externalId"] for one in effects)


def test_a_lost_answer_to_a_new_client_does_not_make_a_second_one(sandbox: RunningSandbox, account: str) -> None:
    key = a_key()

    async def run() -> Any:
        adapter = open_adapter(sandbox.url, account=account)
        with sandbox.chaos("lost-ack", account=account, rate=0.5):
            await until_done(lambda: adapter.upsert_patient(a_card(key), None))
        again = await adapter.upsert_patient(a_card(key), None)
        await adapter.aclose()
        return again

    assert isinstance(asyncio.run(run()), Unchanged)
    assert len(sandbox.effects(key)) == 1


def test_both_forms_of_a_lost_answer_are_outcomes_unknown(sandbox: RunningSandbox, account: str) -> None:
    async def run() -> list[Unavailable]:
        adapter = open_adapter(sandbox.url, account=account)
        client: Any = await adapter.upsert_patient(a_card(), None)
        with sandbox.chaos("lost-ack", account=account):
            found = [await _failure(adapter.put_document(client.external_id, an_upload())) for _ in range(2)]
        await adapter.aclose()
        return found

    assert [OutcomeUnknown, OutcomeUnknown] == [type(one) for one in asyncio.run(run())]


@pytest.mark.parametrize("profile", ["hang", "trickle", "broken-answer"])
def test_a_destination_that_does_not_answer_properly_costs_one_deadline(sandbox: RunningSandbox, account: str, profile: str) -> None:
    async def run() -> tuple[list[Unavailable], float, Any]:
        adapter = open_adapter(sandbox.url, account=account, timeout_seconds=0.5)
        client: Any = await adapter.upsert_patient(a_card(), None)
        upload = an_upload()
        began = time.monotonic()
        with sandbox.chaos(profile, account=account, seconds=0.05):
            failures = [await _failure(adapter.put_document(client.external_id, upload)) for _ in range(3)]
        seconds = time.monotonic() - began
        after = await adapter.put_document(client.external_id, upload)
        await adapter.aclose()
        return failures, seconds, after

    failures, seconds, after = asyncio.run(run())

    assert [OutcomeUnknown] * 3 == [type(one) for one in failures]
    assert seconds < 5
    assert isinstance(after, Created if profile == "hang" else Unchanged)


def test_throttling_in_every_form_is_obeyed_by_all_and_capped(sandbox: RunningSandbox, account: str) -> None:
    async def run() -> list[Unavailable]:
        found: list[Unavailable] = []
        with sandbox.chaos("throttle", account=account, seconds=30):
            for _ in range(7):
                adapter = open_adapter(sandbox.url, account=account, profile=a_profile(retry={"cap_seconds": 20.0, "default_seconds": 5.0}))
                found += [await _failure(adapter.find_patient(a_key())) for _ in range(2)]  # the second asks nobody
                await adapter.aclose()
        return found

    found = asyncio.run(run())

    waits = [round(one.retry_after_seconds or 0) for one in found]
    assert sorted([20, 20, 20, 5, 5, 5, 5]) == sorted(waits[::2])
    assert all(one.is_target_down and not isinstance(one, OutcomeUnknown) for one in found)
    assert waits[::2] == waits[1::2]
    assert [one.why for one in found] == ["429", "paused"] * 7


def test_a_destination_that_is_down_says_so(sandbox: RunningSandbox, account: str) -> None:
    async def run() -> tuple[Unavailable, Unavailable]:
        adapter, nobody = open_adapter(sandbox.url, account=account), open_adapter("http://127.0.0.1:9", account=account)
        with sandbox.chaos("down", account=account):
            busy = await _failure(adapter.put_document(a_key(), an_upload()))
        refused = await _failure(nobody.put_document(a_key(), an_upload()))
        await adapter.aclose()
        await nobody.aclose()
        return busy, refused

    busy, refused = asyncio.run(run())

    assert isinstance(busy, OutcomeUnknown)
    assert not isinstance(refused, OutcomeUnknown)
    assert refused.is_target_down


def test_a_changed_key_is_read_once_for_all(sandbox: RunningSandbox, account: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("yesterday's")

    async def run() -> tuple[int, list[Any]]:
        key = ApiKey(None, file)
        file.write_text(f"{KEY}\n")
        adapter = open_adapter(sandbox.url, account=account, key=key)
        answers = await asyncio.gather(*(adapter.upsert_patient(a_card(), None) for _ in range(16)))
        await adapter.aclose()
        return key.refreshes, answers

    refreshes, answers = asyncio.run(run())

    assert refreshes == 1
    assert {Created} == {type(one) for one in answers}


def test_a_refused_key_is_an_outage_of_the_account(sandbox: RunningSandbox, account: str) -> None:
    async def run() -> Unavailable:
        adapter = open_adapter(sandbox.url, account=account, key=ApiKey("wrong", None))
        failure = await _failure(adapter.put_document(a_key(), an_upload()))
        await adapter.aclose()
        return failure

    failure = asyncio.run(run())

    assert failure.is_target_down
    assert not isinstance(failure, OutcomeUnknown)


def test_a_slow_client_does_not_slow_the_others(sandbox: RunningSandbox, account: str) -> None:
    async def run() -> tuple[float, float]:
        adapter = open_adapter(sandbox.url, account=account)
        slow: Any = await adapter.upsert_patient(a_card(), None)
        others: list[Any] = [await adapter.upsert_patient(a_card(), None) for _ in range(20)]
        body = {"profile": "slow", "rate": 1, "only": slow.external_id, "seconds": 2.0}
        await asyncio.to_thread(sandbox.ask, "/sandbox/chaos", body)
        began = time.monotonic()
        waiting = asyncio.create_task(adapter.put_document(slow.external_id, an_upload()))
        await asyncio.gather(*(adapter.put_document(one.external_id, an_upload()) for one in others))
        quick = time.monotonic() - began
        await waiting
        await asyncio.to_thread(sandbox.ask, "/sandbox/chaos", {"profile": "none"})
        await adapter.aclose()
        return quick, time.monotonic() - began

    quick, whole = asyncio.run(run())

    assert quick < whole
    assert whole >= 2


def test_a_large_document_arrives_whole(sandbox: RunningSandbox, account: str) -> None:
    content = bytes(range(256)) * 4096 * 6  # 6 MiB, sent in pieces

    async def run() -> Any:
        adapter = open_adapter(sandbox.url, account=account, timeout_seconds=15)
        client: Any = await adapter.upsert_patient(a_card(), None)
        answer = await adapter.put_document(client.external_id, an_upload(content=content, media_type="application/pdf"))
        await adapter.aclose()
        return answer

    assert isinstance(asyncio.run(run()), Created)


def test_two_processes_at_once_leave_the_newest_version(sandbox: RunningSandbox, account: str) -> None:
    document_id = a_key()

    async def run() -> tuple[Any, int]:
        first, second = open_adapter(sandbox.url, account=account), open_adapter(sandbox.url, account=account)
        client: Any = await first.upsert_patient(a_card(), None)
        older, newer = an_upload(document_id, VERSION, b"1"), an_upload(document_id, NEWER, b"2")
        await asyncio.gather(*(one.put_document(client.external_id, what) for what in (newer, older) * 5 for one in (first, second)))
        stored: Any = await second.find_document(client.external_id, document_id, newer)
        await first.aclose()
        await second.aclose()
        return stored, stored.version_count

    stored, versions = asyncio.run(run())

    assert stored.is_same
    assert versions <= 2


def test_a_killed_sandbox_has_everything_that_it_acknowledged(tmp_path: Path) -> None:
    running = RunningSandbox(tmp_path / "state")
    acknowledged: list[str] = []

    async def run() -> None:
        adapter = open_adapter(running.url)
        client: Any = await adapter.upsert_patient(a_card(), None)
        enough = asyncio.Event()

        async def write() -> None:
            upload = an_upload()
            await adapter.put_document(client.external_id, upload)
            acknowledged.append(upload.document_id)
            if len(acknowledged) == 50:
                enough.set()

        async def kill() -> None:
            await enough.wait()
            await asyncio.to_thread(running.kill)

        await asyncio.gather(kill(), *(write() for _ in range(400)), return_exceptions=True)
        await adapter.aclose()

    running.start()
    try:
        asyncio.run(run())
        running.start()
        kept = [one["externalId"] for one in running.ask("/sandbox/effects")["effects"]]
        digest = running.ask("/sandbox/state-hash")["hash"]
        running.kill()
        running.start()

        assert set(acknowledged) <= set(kept)
        assert len(kept) == len(set(kept))
        assert digest == running.ask("/sandbox/state-hash")["hash"]
    finally:
        running.kill()
