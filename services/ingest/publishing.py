"""Publishes documents to `document.published.v1`: one at a time for the HTTP door, whole folders for `publish` and `demo`."""

import asyncio
import mimetypes
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from services.ingest.core import publishing_key
from services.ingest.settings import Settings
from services.ingest.sources.folder import Source, find_sources, read_source
from shared.canonical.reading import ProviderProfile
from shared.content_store import ContentStore
from shared.delivery.backoff import pause_seconds
from shared.delivery.producer import Producer
from shared.errors import Unavailable
from shared.events import Event, EventType, new_event, write_headers
from shared.providers import load_directory
from shared.topics import PUBLISHED

R = TypeVar("R")

AT_ONCE = 128  # small documents on their way to the broker
RETRY_SECONDS = 120.0
LOOK_BYTES = 256 << 10  # larger documents are not looked into before they are published: they travel under a key of their own


class Sender(Protocol):
    """Sends a record and waits for the broker; returns its coordinates or raises Unavailable."""

    async def send(self, topic: str, key: bytes | None, value: bytes, headers: Sequence[tuple[str, bytes]]) -> str: ...


class Keeper(Protocol):
    """Keeps large content and returns its reference, or raises Unavailable."""

    async def put(self, data: bytes) -> str: ...


@dataclass(slots=True)
class PublishReport:
    """What became of the files: how many the broker acknowledged, their event ids, and what was not published, with the reason."""

    count: int = 0
    events: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)  # asked for, but unreadable or too large
    ignored: list[str] = field(default_factory=list)  # left out on purpose: hidden files, documentation of a folder


@dataclass(frozen=True, slots=True)
class Publisher:
    """How our own doors publish: large data to the content store first, one patient's documents under one key."""

    sender: Sender
    contents: Keeper
    profile: Callable[[str], ProviderProfile]
    settings: Settings

    async def prepare(self, event: Event) -> tuple[bytes, Event]:
        """The record's key and the event as it travels. Raises Unavailable."""
        profile = self.profile(event.providerid or self.settings.default_provider_id)
        look = partial(publishing_key, event.data, provider=profile, media_type=event.contenttype, patient_key=event.subject)
        key = None
        if len(event.data) <= self.settings.inline_bytes:
            key = look()
        elif len(event.data) <= LOOK_BYTES:
            key = await asyncio.to_thread(look)
        if len(event.data) > self.settings.claim_check_bytes:
            event = event.pointing_at(await self.contents.put(event.data))
        return (key or event.subject or event.id).encode(), event

    async def send(self, key: bytes, event: Event) -> str:
        """Coordinates, once the broker has acknowledged the event. Raises Unavailable."""
        return await self.sender.send(PUBLISHED.name, key, event.data, write_headers(event))


async def publish_paths(
    paths: list[Path],
    *,
    bootstrap: str,
    content_url: str | None = None,
    provider: str | None = None,
    patient: str | None = None,
    on_published: Callable[[int], None] | None = None,
) -> PublishReport:
    """Publish files and folders (`-` is the standard input) and wait until the broker has acknowledged every one.

    Without `provider`, each first-level folder under a path is a provider of its own and files directly in a path belong to the
    provider named after it. Raises Unavailable when the broker stays away for two minutes.
    """
    settings = Settings()
    contents = ContentStore.open(content_url or settings.platform.content_url)
    found = find_sources(paths, provider=provider, default_provider=settings.default_provider_id)
    report = PublishReport(skipped=found.missing, ignored=found.ignored)
    profile = load_directory(settings.platform.providers_file, settings.platform.clinics_file).profile
    sender = Producer([one.strip() for one in bootstrap.split(",")], name="publish")
    await sender.start()
    try:
        await _Publication(Publisher(sender, contents, profile, settings), patient, on_published).run(found.sources, report)
    finally:
        await sender.stop()
    return report


class _Publication:
    """One run over many files: each key keeps the order of its files, different keys go side by side."""

    def __init__(self, publisher: Publisher, patient: str | None, on_published: Callable[[int], None] | None) -> None:
        self._publisher = publisher
        self._patient = patient
        self._on_published = on_published
        self._count = 0

    async def run(self, sources: list[Source], report: PublishReport) -> None:
        """Publish all, in windows; what cannot be read or is too large is named in the report."""
        for start in range(0, len(sources), AT_ONCE):
            tasks: list[asyncio.Task[None]] = []
            try:
                await self._begin(sources[start : start + AT_ONCE], tasks, report)
            finally:
                failures = [one for one in await asyncio.gather(*tasks, return_exceptions=True) if one is not None]
            if failures:
                raise failures[0]
        report.count = len(report.events)

    async def _begin(self, sources: list[Source], tasks: list[asyncio.Task[None]], report: PublishReport) -> None:
        """Read files one after the other and let each go as soon as the one before it under its key is acknowledged."""
        lanes: dict[bytes, asyncio.Task[None]] = {}
        for source in sources:
            read = await self._read(source)
            if isinstance(read, str):
                report.skipped.append(f"{source.path or 'standard input'}: {read}")
                continue
            key, event = await _persist(partial(self._publisher.prepare, read))
            lanes[key] = asyncio.create_task(self._send(key, event, lanes.get(key)))
            tasks.append(lanes[key])
            report.events.append(event.id)

    async def _read(self, source: Source) -> Event | str:
        """The event of a file, or why there is none."""
        limit = self._publisher.settings.max_bytes
        try:
            content = await asyncio.to_thread(read_source, source.path, limit + 1)
        except OSError as error:
            return f"cannot be read ({type(error).__name__})"
        if len(content) > limit:
            return f"larger than {limit} bytes"
        return new_event(
            EventType.DOCUMENT_PUBLISHED,
            content,
            providerid=source.provider_id,
            subject=self._patient,
            contenttype=mimetypes.guess_type(source.path.name)[0] if source.path else None,
        )

    async def _send(self, key: bytes, event: Event, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await asyncio.wait([before])
        await _persist(partial(self._publisher.send, key, event))
        self._count += 1
        if self._on_published:
            self._on_published(self._count)


async def _persist(call: Callable[[], Awaitable[R]]) -> R:
    """Wait for an outage to pass, two minutes at most; raises Unavailable."""
    until = time.monotonic() + RETRY_SECONDS
    tries = 0
    while True:
        try:
            return await call()
        except Unavailable as outage:
            if time.monotonic() > until:
                raise
            tries += 1
            await asyncio.sleep(pause_seconds(tries, outage, random.random, longest=5.0))
