"""Normalizing without Kafka or PostgreSQL: files in, one JSON object for each message or document out, nothing stored."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from services.normalizer.reading import read_content
from shared.canonical.reading import Format, ProviderProfile, Reading, rejected
from shared.formats.recognise import recognise
from shared.formats.split import split
from shared.outcomes import Reason

MAX_FILE_BYTES = 64 << 20


def normalize_file(path: Path, provider: ProviderProfile) -> Iterator[dict[str, Any]]:
    """The readings of one file as JSON-ready objects, `input` and `index` in front; never raises for what the file holds."""
    try:
        size = path.stat().st_size
        readings = (
            [rejected("unknown", Reason.CONTENT_TOO_LARGE)] if size > MAX_FILE_BYTES else normalize_bytes(path.read_bytes(), provider)
        )
    except OSError:
        readings = [rejected("unknown", Reason.CONTENT_MISSING)]
    for index, reading in enumerate(readings):
        yield {"input": str(path), "index": index, **as_json(reading)}


def normalize_bytes(content: bytes, provider: ProviderProfile) -> list[Reading]:
    """Split as ingest does, then read each part as the service does."""
    parts = parts_of(content)
    return [read_content(part, provider, format=format) for part, format in parts] or [rejected(recognise(content), Reason.EMPTY_CONTENT)]


def parts_of(content: bytes) -> list[tuple[bytes, Format]]:
    """The messages or documents in the bytes, each with its format."""
    format = recognise(content)
    return [(part, format) for part in split(content, format)]


def as_json(reading: Reading) -> dict[str, Any]:
    """The reading as it is printed: without the bytes of files and what only the registry needs."""
    made: dict[str, Any] = msgspec.to_builtins(reading)
    for name in ("files", "source_time", "merges"):
        del made[name]
    if reading.losses is None:
        del made["losses"]
    return made
