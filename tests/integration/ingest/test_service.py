"""The whole service as a process, on a real broker and a real database."""

import asyncio
import os
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings.kafka import to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from services.ingest.publishing import publish_paths
from shared.content_store import ContentStore, reference_to
from shared.delivery import Producer
from shared.events import Event, read_event
from shared.identity import digest
from shared.kafka import read_range
from shared.outcomes import OutcomeRecorded, decode_outcome
from shared.topics import OUTCOMES, PUBLISHED, RECEIVED

PATIENT = "2f0c2a3e-6f1b-5a50-8d53-0e9c3c0a1b11"
ADT = "MSH|^~\\&|GP|HARBOUR|||20261102081500||ADT^A04|{0}|P|2.5\rPID|1||{0}^^^HARBOUR^MR||Test^Synthetic\r"


class Service:
    """`serve ingest` as a process; `provider` keeps the documents of this test apart from those of others."""

    def __init__(self, bootstrap: str, database_url: str, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.folder = folder
        self.provider = f"test-{uuid.uuid4().hex}"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        self.content_url = (folder / "content").as_uri()
        self._environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "DATABASE_URL": database_url,
            "CONTENT_STORE_URL": self.content_url,
            "INGEST_HTTP_PORT": self.url.rpartition(":")[2],
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        command = [sys.executable, "-c", "import sys; from services.ingest.app import serve; sys.exit(serve())"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, env=self._environment, stderr=log)
        wait_until(lambda: self._process is not None and self._process.poll() is None and self._is_ready(), self.log)

    def _is_ready(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(self.url + "/readyz").status_code == 200
        return False

    def log(self) -> str:
        """What it wrote."""
        return (self.folder / "log").read_text()

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(40)

    def end(self) -> None:
        """Whatever state it is in."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def outcomes(self) -> list[OutcomeRecorded]:
        """Every outcome of this test's provider, repetitions too."""
        rows = [decode_outcome(one.value or b"") for one in records(self.bootstrap, OUTCOMES.name)]
        return [one for one in rows if one.provider_id == self.provider]

    def received(self) -> dict[str, Event]:
        """What was passed on for this test's provider, by coordinates."""
        read = [
            (one.place, read_event(one.headers, one.value, default_type="", fallback_id=""))
            for one in records(self.bootstrap, RECEIVED.name)
        ]
        return {place: event for place, event in read if event.providerid == self.provider}


def records(bootstrap: str, topic: str) -> list[Any]:
    async def run() -> list[Any]:
        return [one async for one in read_range([bootstrap], topic)]

    return asyncio.run(run())


def wait_until(is_true: Callable[[], bool], explain: Callable[[], str], seconds: float = 90) -> None:
    until = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < until, explain()
        time.sleep(0.2)


@pytest.fixture
def service(kafka_bootstrap: str, migrated_url: str, tmp_path: Path) -> Iterator[Service]:
    made = Service(kafka_bootstrap, migrated_url, tmp_path)
    made.start()
    try:
        yield made
    finally:
        made.end()


def test_documents_of_every_door_end_in_one_outcome_each(service: Service) -> None:
    provider = {"provider-id": service.provider}
    large = b"a large text " * 60_000
    answers = [
        httpx.post(service.url + "/v1/documents", content=content, headers={**provider, **headers})
        for content, headers in (
            (b"plain text", {"content-type": "text/plain", "patient-key": PATIENT}),
            (b"plain text", {"content-type": "text/plain", "patient-key": PATIENT}),
            (large, {"content-type": "text/plain"}),
            (bytes(range(256)) * 4, {}),
            (ADT.format(1).encode(), {"idempotency-key": "once"}),
        )
    ]
    structured = to_structured(
        CloudEvent({"type": "x", "source": "y", "providerid": service.provider, "datacontenttype": "text/plain"}, "a structured event"),
        JSONFormat(),
    )

    async def produce() -> None:
        producer = Producer([service.bootstrap], name="test")
        await producer.start()
        await producer.send(PUBLISHED.name, None, structured.value, list(structured.headers.items()))
        await producer.send(PUBLISHED.name, None, None, [("ce_providerid", service.provider.encode()), ("ce_id", b"undefined")])
        await producer.stop()

    asyncio.run(produce())
    wait_until(lambda: len(service.outcomes()) >= 7, service.log)
    outcomes = service.outcomes()
    received = service.received()

    assert [one.status_code for one in answers] == [202] * 5
    assert Counter(
        {("received", None): 4, ("duplicate", None): 1, ("rejected", "unknown_format"): 1, ("rejected", "empty_content"): 1}
    ) == (Counter((one.status, one.reason) for one in outcomes))
    assert sorted(place for one in outcomes for place in one.passed_on) == sorted(received)
    assert {b"plain text", b"", ADT.format(1).strip().encode(), b"a structured event"} == {
        event.data.strip() for event in received.values()
    }
    (by_reference,) = [event for event in received.values() if event.contentref]
    assert by_reference.contentref == reference_to(digest(large))
    assert asyncio.run(ContentStore.open(service.content_url).get(reference_to(digest(large)))) == large
    assert {one.json()["id"] for one in answers} <= {one.correlation_id for one in outcomes}
    status = httpx.get(service.url + answers[0].json()["status_url"])
    assert (status.status_code, status.json()["state"]) == (200, "pending")  # no audit service runs here
    assert service.stop() == 0
    assert "plain text" not in service.log()


def test_a_kill_in_the_middle_loses_nothing(service: Service) -> None:
    count = 300
    folder = service.folder / "documents"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:04}.hl7").write_text(ADT.format(number % 200))  # the last hundred are duplicates
    report = asyncio.run(publish_paths([folder], bootstrap=service.bootstrap, content_url=service.content_url, provider=service.provider))
    wait_until(lambda: len(service.received()) >= 20, service.log)
    service.kill()
    service.start()
    wait_until(lambda: len({one.id for one in service.outcomes()}) >= count, service.log)
    final: dict[str, OutcomeRecorded] = {}
    for one in service.outcomes():
        final.setdefault(one.id, one)
    received = service.received()

    assert report.count == count
    assert Counter(one.status for one in final.values()) == {"received": 200, "duplicate": 100}
    assert len({event.sha256 for event in received.values()}) == 200
    passed_on = [place for one in final.values() for place in one.passed_on]
    assert len(set(passed_on)) == 200
    assert set(passed_on) <= set(received)
    # a record that was written and not remembered before the kill has a twin with the same event id
    assert {event.id for event in received.values()} == {received[place].id for place in passed_on}
    assert service.stop() == 0
