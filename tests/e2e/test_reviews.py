"""Somebody alike on the platform: a person decides by command and by HTTP, what waits comes in, and reading back says the truth."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.corpus import Document, corpus
from tests.e2e.stack import Stack


@pytest.fixture(scope="module")
def stack(state_folder: Path) -> Iterator[Stack]:
    """One system for the tests of this module, in their order."""
    with Stack(state_folder / "reviews", CAREPATRON_WRITER_READ_BACK_SHARE="1") as running:
        yield running


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    """Four patients, two documents each."""
    return list(corpus(8, patients=4))


def command(stack: Stack, *arguments: str, code: int = 0) -> Any:
    """A command of ours against the running system; its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments, "--json"],
        env={"PATH": "/usr/bin:/bin", **stack.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr[-2000:]
    return orjson.loads(done.stdout)


def platform(stack: Stack) -> httpx.Client:
    """The clinic's own hand on its platform."""
    root = f"{stack.environment['CAREPATRON_BASE_URL']}/providers/sandbox"
    return httpx.Client(base_url=root, headers={"cp-api-key": stack.environment["CAREPATRON_API_KEY"]}, trust_env=False)


def settled(stack: Stack, check: Any) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 60
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    stack.settle_log()


def test_documents_of_somebody_alike_wait_for_a_person(stack: Stack, documents: list[Document]) -> None:
    people = list({one.person.mrn: one.person for one in documents}.values())
    with platform(stack) as clinic:
        for one in people[:2]:
            body = {"isClient": True, "firstName": one.given, "lastName": one.family, "email": None, "externalReferences": []}
            assert clinic.post("/contacts", json=body).status_code == 201

    report = stack.settle(stack.publish(documents))

    assert report["books_balanced"]
    assert report["outcomes"] == {"created": 4, "rejected": 4}
    reviews = command(stack, "reviews", "list", "--state", "open")["items"]
    assert [one["documents_waiting"] for one in reviews] == [2, 2]
    assert [one["candidates"][0]["agrees"] for one in reviews] == [["name"]] * 2


def test_a_decision_brings_in_what_waits(stack: Stack) -> None:
    linked, created = command(stack, "reviews", "list", "--state", "open")["items"]
    client = linked["candidates"][0]["external_id"]

    command(stack, "reviews", "decide", linked["patient_key"], "link", "--client", client, "--by", "Ann")
    answer = httpx.post(
        f"{stack.url('writer')}/v1/reviews/carepatron/{created['patient_key']}/decision",
        json={"decision": "create", "decided_by": "Ben"},
        trust_env=False,
    )
    assert answer.status_code == 200
    settled(stack, lambda: stack.sandbox("GET", "state-hash")["documents"] == 8)

    counts = stack.sandbox("GET", "state-hash")
    assert (counts["contacts"], counts["documents"]) == (5, 8)
    with platform(stack) as clinic:
        assert clinic.get(f"/contacts/{client}/documents").json()["items"]
    assert command(stack, "reviews", "list", "--state", "open")["items"] == []
    assert command(stack, "verify")["books_balanced"]
    assert [one["decided_by"] for one in command(stack, "reviews", "show", linked["patient_key"])["decisions"]] == ["Ann"]


def test_what_the_platform_has_is_read_back(stack: Stack) -> None:
    report = command(stack, "verify", "--platform")

    assert (report["documents"], report["differences"]) == (8, [])
    assert command(stack, "platforms", "probe", "carepatron")["drift"] == []


def test_what_the_clinic_took_back_is_said_and_left_alone(stack: Stack) -> None:
    effect = next(one for one in stack.effects() if one["kind"] == "document")
    (row,) = stack.rows("SELECT patient_key FROM platform_links WHERE our_id = $1", effect["externalId"])
    with platform(stack) as clinic:
        found = clinic.post(
            "/contacts/search",
            json={"anyOf": [{"externalReference": {"system": "urn:healthrecords:patient-key", "value": str(row["patient_key"])}}]},
        )
        contact = found.json()["items"][0]["id"]
        taken = clinic.post(
            f"/contacts/{contact}/documents/{effect['externalId']}/withdraw", json={"reason": "clinic", "sourceVersion": "~"}
        )
        assert taken.status_code == 200

    report = command(stack, "repair", "--patient", str(row["patient_key"]), code=1)

    assert [(one["what"], one["document_id"]) for one in report["differences"]] == [("withdrawn_there", effect["externalId"])]
    assert report["repaired"] == 0
