"""Publishes documents to `document.published.v1`: one at a time for the HTTP door, whole folders for `publish` and `demo`."""

import asyncio
import mimetypes
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import stamina

from services.ingest.settings import Settings
from shared.content_store import ContentStore
from shared.delivery.producer import Producer
from shared.errors import Unavailable
from shared.events import Event, EventType, new_event, write_headers
from shared.topics import PUBLISHED

STDIN = "-"
AT_ONCE = 128  # small documents on their way to the broker
RETRY_SECONDS = 120.0
# documentation that lies beside documents, at the top of a folder
DOCUMENTATION = ("SOURCES", "README", "LICENSE", "LICENCE", "NOTICE", "CHANGELOG", "COPYING")


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
class Source:
    """A file and the provider that it belongs to; no path is the standard input."""

    path: Path | None
    provider_id: str


async def publish_document(event: Event, sender: Sender, contents: Keeper, *, claim_check_bytes: int) -> str:
    """Publish one event: large data goes to the content store first. Returns coordinates once the broker has acknowledged."""
    if len(event.data) > claim_check_bytes:
        ref = await contents.put(event.data)
        event = event.pointing_at(ref)
    # a patient's documents keep their order when the publisher names the patient; others are spread
    return await sender.send(PUBLISHED.name, (event.subject or event.id).encode(), event.data, write_headers(event))


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
    sources, report = find_sources(paths, provider=provider, default_provider=settings.default_provider_id)
    sender = Producer([one.strip() for one in bootstrap.split(",")], name="publish")
    await sender.start()
    try:
        await _Publication(sender, contents, settings, patient, on_published).run(sources, report)
    finally:
        await sender.stop()
    return report


class _Publication:
    """One run over many files; small ones go side by side, large ones one after the other, so that memory stays bounded."""

    def __init__(
        self, sender: Sender, contents: Keeper, settings: Settings, patient: str | None, on_published: Callable[[int], None] | None
    ) -> None:
        self._sender = sender
        self._contents = contents
        self._settings = settings
        self._patient = patient
        self._on_published = on_published
        self._large = asyncio.Lock()
        self._count = 0

    async def run(self, sources: list[Source], report: PublishReport) -> None:
        """Publish all, in windows; what cannot be read or is too large is named in the report."""
        for start in range(0, len(sources), AT_ONCE):
            some = sources[start : start + AT_ONCE]
            for one, result in zip(some, await asyncio.gather(*map(self._publish, some), return_exceptions=True), strict=True):
                if isinstance(result, BaseException):
                    raise result
                if isinstance(result, Event):
                    report.events.append(result.id)
                else:
                    report.skipped.append(f"{one.path or 'standard input'}: {result}")
        report.count = len(report.events)

    async def _publish(self, source: Source) -> Event | str:
        """The event that was acknowledged, or why there is none."""
        try:
            is_large = source.path is not None and source.path.stat().st_size > self._settings.claim_check_bytes
            if not is_large:
                return await self._publish_content(source)
            async with self._large:
                return await self._publish_content(source)
        except OSError as error:
            return f"cannot be read ({type(error).__name__})"

    async def _publish_content(self, source: Source) -> Event | str:
        content = await asyncio.to_thread(_read, source.path, self._settings.max_bytes + 1)
        if len(content) > self._settings.max_bytes:
            return f"larger than {self._settings.max_bytes} bytes"
        event = new_event(
            EventType.DOCUMENT_PUBLISHED,
            content,
            providerid=source.provider_id,
            subject=self._patient,
            contenttype=mimetypes.guess_type(source.path.name)[0] if source.path else None,
        )
        async for attempt in stamina.retry_context(on=Unavailable, attempts=None, timeout=RETRY_SECONDS):
            with attempt:
                await publish_document(event, self._sender, self._contents, claim_check_bytes=self._settings.claim_check_bytes)
        self._count += 1
        if self._on_published:
            self._on_published(self._count)
        return event


def find_sources(paths: list[Path], *, provider: str | None, default_provider: str) -> tuple[list[Source], PublishReport]:
    """The files to publish in sorted order, each with its provider, and a report that names what is left out."""
    sources: list[Source] = []
    report = PublishReport()
    for path in paths:
        if str(path) == STDIN:
            sources.append(Source(None, provider or default_provider))
        elif path.is_file():
            sources.append(Source(path, provider or default_provider))
        elif path.is_dir():
            for file in _files_under(path):
                inside = file.relative_to(path).parts
                if any(part.startswith(".") for part in inside):
                    report.ignored.append(f"{file}: hidden")
                elif len(inside) == 1 and file.stem.upper() in DOCUMENTATION:
                    report.ignored.append(f"{file}: documentation of the folder")
                else:
                    owner = inside[0] if len(inside) > 1 else path.resolve().name
                    sources.append(Source(file, provider or owner or default_provider))
        else:
            report.skipped.append(f"{path}: not found")
    return sources, report


def _files_under(folder: Path) -> Iterator[Path]:
    """Regular files, sorted, without following links to folders."""
    for where, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            file = Path(where, name)
            if file.is_file():
                yield file


def _read(path: Path | None, limit: int) -> bytes:
    """At most `limit` bytes of a file or of the standard input."""
    if path is None:
        return sys.stdin.buffer.read(limit)
    with path.open("rb") as file:
        return file.read(limit)
