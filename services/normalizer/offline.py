"""Normalizing without Kafka or PostgreSQL: files in, one JSON object for each message or document out, nothing stored."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from services.normalizer.reading import read_content
from shared.canonical.reading import ProviderProfile, Reading, rejected
from shared.formats.packages import RefusedPackage
from shared.formats.recognise import recognise
from shared.formats.split import Piece, take_apart
from shared.identity import patient_key
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
    try:
        pieces = take_apart(content).pieces
    except RefusedPackage as refusal:
        return [rejected("unknown", refusal.reason, refusal.where)]
    return [_read(one, provider) for one in pieces] or [rejected(recognise(content), Reason.EMPTY_CONTENT)]


def _read(piece: Piece, provider: ProviderProfile) -> Reading:
    """A reading; a file that names nobody is about whom its package says."""
    reading = read_content(piece.content, provider, format=piece.format)
    if piece.patient is not None:
        for one in reading.documents:
            one.patient_key = one.patient_key or patient_key(provider.provider_id, piece.patient)
    return reading


def as_json(reading: Reading) -> dict[str, Any]:
    """The reading as it is printed: without the bytes of files and what only the registry needs."""
    made: dict[str, Any] = msgspec.to_builtins(reading)
    for name in ("files", "source_time", "merges"):
        del made[name]
    if reading.losses is None:
        del made["losses"]
    return made
