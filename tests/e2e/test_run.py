"""One run of the whole system: a document in, a write at the platform and rows in the log out; then the same again, and replays."""

import asyncio
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from services.ingest.replay import again
from shared.delivery import Producer
from shared.events import write_headers
from shared.kafka import read_range
from shared.topics import RECEIVED, REPLAYED
from tests.corpus import corpus
from tests.e2e import history
from tests.e2e.stack import Stack

DOCUMENTS = 200


@pytest.fixture(scope="module")
def stack(state_folder: Path) -> Iterator[Stack]:
    """One system for the tests of this module, in their order."""
    with Stack(state_folder / "run") as running:
        yield running


def command(stack: Stack, *arguments: str) -> Any:
    """A command of ours against the running system; its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments, "--json"],
        env={"PATH": "/usr/bin:/bin", **stack.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return orjson.loads(done.stdout)


def test_every_document_reaches_the_platform_once(stack: Stack) -> None:
    ids = stack.publish(list(corpus(DOCUMENTS, patients=20, versions=2)))

    report = stack.settle(ids)

    assert report["books_balanced"]
    assert report["outcomes"] == {"created": DOCUMENTS, "updated": DOCUMENTS}
    history.check(stack, ids)


def test_the_same_documents_again_change_nothing(stack: Stack) -> None:
    before = stack.sandbox("GET", "state-hash")

    report = stack.settle(stack.publish(list(corpus(DOCUMENTS, patients=20, versions=2))))

    assert report["duplicates"] == 2 * DOCUMENTS
    assert stack.sandbox("GET", "state-hash") == before


def test_a_replay_changes_nothing_and_leaves_one_terminal_row_for_each_document(stack: Stack) -> None:
    before = stack.sandbox("GET", "state-hash")
    counted = command(stack, "replay", "--provider", "corpus", "--dry-run")

    report = command(stack, "replay", "--provider", "corpus")
    stack.settle_log()

    assert counted["records"] == report["records"] == 2 * DOCUMENTS
    rows = stack.rows(
        "SELECT status, count(*) AS count FROM synchronization_log WHERE replay_id = $1 AND is_terminal AND action <> 'upsert_patient' GROUP BY 1",
        report["replay_id"],
    )
    assert {row["status"]: row["count"] for row in rows} == {"unchanged": DOCUMENTS, "superseded": DOCUMENTS}
    assert stack.sandbox("GET", "state-hash") == before


def test_a_shuffled_part_of_a_replay_changes_nothing(stack: Stack) -> None:
    before = stack.sandbox("GET", "state-hash")

    async def send() -> int:
        records = [one async for one in read_range([stack.bootstrap], RECEIVED.name)]
        chosen = random.Random(3).sample(records, len(records) // 3)
        producer = Producer([stack.bootstrap], name="test")
        await producer.start()
        try:
            await producer.send_all([(REPLAYED.name, one.key, one.value, write_headers(again(one, "shuffled"))) for one in chosen])
        finally:
            await producer.stop()
        return len(chosen)

    sent = asyncio.run(send())
    stack.settle_log()

    (row,) = stack.rows("SELECT count(*) AS count FROM synchronization_log WHERE replay_id = 'shuffled' AND stage = 'normalizer'")
    assert row["count"] == sent
    assert stack.sandbox("GET", "state-hash") == before


def test_a_document_is_found_by_its_timeline(stack: Stack) -> None:
    (row,) = stack.rows("SELECT document_id FROM synchronization_log WHERE status = 'updated' AND action = 'write_document' LIMIT 1")

    timeline = httpx.get(f"{stack.url('audit')}/api/v1/documents/{row['document_id']}/timeline", trust_env=False).json()

    assert {one["stage"] for one in timeline["items"]} >= {"normalizer", "carepatron_writer"}


def test_an_http_sender_gets_an_id_and_can_ask_what_became_of_it(stack: Stack) -> None:
    one = next(corpus(1, patients=1, seed=99))
    posted = httpx.post(f"{stack.url('ingest')}/v1/documents", content=one.content, headers={"Provider-Id": "corpus"}, trust_env=False)
    assert posted.status_code == 202
    stack.settle([posted.json()["id"]])

    found = httpx.get(httpx.URL(stack.url("ingest")).join(posted.headers["location"]), trust_env=False)

    assert found.status_code == 200
    assert next(outcome["status"] for outcome in found.json()["outcomes"]) == "received"


def test_status_and_verify_say_that_all_is_well(stack: Stack) -> None:
    assert command(stack, "verify")["books_balanced"]
    command(stack, "status")
    assert command(stack, "log", "--provider", "corpus")
