"""FAULTS 1–3, 17, 19, 27–29 in one run: everything is killed while documents flow five times over; the end is that of a quiet run."""

import random
import time
from collections.abc import Callable
from pathlib import Path

from tests.corpus import Document, corpus
from tests.e2e import history
from tests.e2e.stack import Stack

DOCUMENTS = 700  # in up to three versions: about 2,000 deliveries, each five times
PATIENTS = 100


def deliveries() -> list[Document]:
    """About 2,000 documents: three versions of most, in a shuffled order that is the same for every run."""
    made = list(corpus(DOCUMENTS, patients=PATIENTS, versions=3))[:2000]
    random.Random(7).shuffle(made)
    return made


def test_a_disturbed_run_ends_like_a_quiet_one(state_folder: Path) -> None:
    documents = deliveries()
    with Stack(state_folder / "quiet") as quiet:
        quiet.settle(quiet.publish(documents), seconds=600)
        expected = quiet.sandbox("GET", "state-hash")["hash"]

    with Stack(state_folder / "disturbed") as stack:
        stack.sandbox("POST", "chaos", profile="lost-ack", rate=0.1)
        ids = stack.publish(documents, repeat=5)
        disturb(stack)
        stack.sandbox("POST", "chaos", profile="none", rate=0)
        stack.settle(ids, seconds=900)
        counted = history.check(stack, ids)
        history.show("kill run", counted)

        assert stack.sandbox("GET", "state-hash")["hash"] == expected


def disturb(stack: Stack) -> None:
    """Kill -9 each service, restart the broker and the database, while work flows."""
    for name in ("ingest", "normalizer", "writer", "audit"):
        _after_progress(stack)
        stack.kill(name)
        stack.start(name)
    _after_progress(stack)
    _restart(stack, "postgres")
    _after_progress(stack)
    _restart(stack, "kafka")


def _restart(stack: Stack, name: str) -> None:
    stack.kill(name)
    stack.start(name)
    stack.look_after()


def _after_progress(stack: Stack) -> None:
    """Wait until the log has grown, so that every kill hits work; stop waiting when nothing is left to do."""
    before = _rows(stack)
    _until(lambda: _rows(stack) > before + 50, seconds=20)


def _rows(stack: Stack) -> int:
    stack.look_after()
    (row,) = stack.rows("SELECT count(*) AS count FROM synchronization_log")
    return int(row["count"])


def _until(check: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not check() and time.monotonic() < deadline:
        time.sleep(0.2)
