"""The whole system for tests: real broker, real database, every service a process that may be killed and started again."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from deploy.local.home import Home
from deploy.local.processes import Server
from deploy.local.settings import LocalSettings
from deploy.local.system import System
from services.audit.books import demo_report, verify
from shared.content_store import ContentStore
from shared.delivery import Producer
from shared.events import EventType, new_event, write_headers
from shared.topics import PUBLISHED
from tests.corpus import Document

SERVICES = ("audit", "writer", "normalizer", "ingest")
POLL_SECONDS = 0.2


class Stack:
    """One system on one folder. Parts are stopped, killed and started by name; what ends by itself is started again."""

    def __init__(self, folder: Path, services: Sequence[str] = SERVICES, **environment: str) -> None:
        self.folder = folder
        self._services = services
        self._home = Home.open(folder)
        self.system = System(self._home, LocalSettings(), lambda _: None)
        self.system.environment.update(environment)
        self.parts: dict[str, Server] = {part.name: part.server for part in self.system.parts}
        self.restarts = 0

    def __enter__(self) -> "Stack":
        try:
            self.start("postgres", "kafka", "sandbox")
            self._run("migrate", "topics")
            self.start(*self._services)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in (*SERVICES, "sandbox", "postgres", "kafka"):
            self.parts[name].stop()
        os.close(self._home.lock)

    def start(self, *names: str) -> None:
        """Start parts and wait until all of them are ready."""
        for name in names:
            self.parts[name].start()
        for name in names:
            self.parts[name].wait_ready(90)

    def _run(self, *names: str) -> None:
        """Run commands to their end."""
        for name in names:
            self.parts[name].start()
        deadline = time.monotonic() + 90
        while not all(self.parts[name].is_ready() for name in names):
            ended = [name for name in names if self.parts[name].returncode]
            assert not ended, f"{ended} ended badly"
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def kill(self, name: str) -> None:
        """SIGKILL to the process of a part; nothing is flushed."""
        child = self.parts[name].child
        if child is not None and child.returncode is None:
            os.kill(child.pid, signal.SIGKILL)
        self.parts[name].stop()

    def look_after(self) -> None:
        """Start again what ended by itself, as the supervisor does."""
        for name in self._services:
            if self.parts[name].returncode is not None:
                self.parts[name].stop()
                self.parts[name].start()
                self.restarts += 1

    @property
    def environment(self) -> dict[str, str]:
        """What the services are told."""
        return self.system.environment

    @property
    def bootstrap(self) -> str:
        """The broker."""
        return self.environment["KAFKA_BOOTSTRAP_SERVERS"]

    @property
    def database_url(self) -> str:
        """The database."""
        return self.environment["DATABASE_URL"]

    def url(self, name: str) -> str:
        """The address of a service."""
        return f"http://127.0.0.1:{self.system.ports[name]}"

    def sandbox(self, method: str, path: str, **body: Any) -> Any:
        """Ask the sandbox beside its contract: effects, state-hash, chaos."""
        with httpx.Client(base_url=self.url("sandbox"), timeout=30, trust_env=False) as client:
            answer = client.request(method, f"/sandbox/{path}", json=body or None)
            answer.raise_for_status()
            return answer.json()

    def effects(self) -> list[dict[str, Any]]:
        """Every change of the sandbox's state, in order."""
        found: list[dict[str, Any]] = self.sandbox("GET", "effects")["effects"]
        return found

    def publish(self, documents: list[Document], *, provider: str = "corpus", repeat: int = 1) -> list[str]:
        """Publish documents in order for each patient, each so many times; returns the event ids."""
        return asyncio.run(self._publish(documents, provider, repeat))

    async def _publish(self, documents: list[Document], provider: str, repeat: int) -> list[str]:
        producer = Producer([self.bootstrap], name="test")
        await producer.start()
        try:
            items, ids = [], []
            for one in documents:
                for _ in range(repeat):
                    event = new_event(EventType.DOCUMENT_PUBLISHED, one.content, providerid=provider)
                    ids.append(event.id)
                    items.append((PUBLISHED.name, one.person.mrn.encode(), one.content, write_headers(event)))
            for start in range(0, len(items), 500):
                await producer.send_all(items[start : start + 500])
            return ids
        finally:
            await producer.stop()

    def settle(self, ids: list[str], *, seconds: float = 240.0, meanwhile: Callable[[], None] | None = None) -> dict[str, Any]:
        """Wait until nothing is in flight; returns the report."""
        deadline = time.monotonic() + seconds
        while True:
            self.look_after()
            report = asyncio.run(demo_report(self.database_url, self.bootstrap, ids))
            if report["in_flight"] == 0:
                return report
            assert time.monotonic() < deadline, f"{report['in_flight']} still in flight"
            if meanwhile:
                meanwhile()
            time.sleep(POLL_SECONDS)

    def settle_log(self, *, seconds: float = 120.0) -> None:
        """Wait until the log has caught up with every topic."""
        deadline = time.monotonic() + seconds
        while not (books := asyncio.run(verify(self.database_url, self.bootstrap))).books_balanced or books.in_flight:
            self.look_after()
            assert time.monotonic() < deadline, "the books are not closed"
            time.sleep(POLL_SECONDS)

    def rows(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        """Rows of the database."""

        async def fetch() -> list[dict[str, Any]]:
            connection = await asyncpg.connect(self.database_url)
            try:
                return [dict(row) for row in await connection.fetch(query, *arguments)]
            finally:
                await connection.close()

        return asyncio.run(fetch())

    def content(self) -> ContentStore:
        """The content store."""
        return ContentStore.open(self.environment["CONTENT_STORE_URL"])
