"""What must hold of any bytes, and the inputs to begin with."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import msgspec

from services.ingest.core import take_in
from services.normalizer.offline import as_json, normalize_bytes
from shared.canonical.reading import ProviderProfile
from shared.outcomes import PLAYBOOK

PROVIDER = ProviderProfile("fuzz", time_zone="Europe/Berlin")
GOLDEN = Path(__file__).parents[1] / "golden"
PLACE = re.compile(r"[A-Za-z0-9.()\[\]/ -]{1,200}")
HANG_SECONDS = 10


class Hang(Exception):
    """An input took too long."""


def corpus() -> list[bytes]:
    """The golden inputs of every format."""
    return [path.read_bytes() for path in sorted(GOLDEN.glob("*/*/input.*"))]


def check(content: bytes) -> frozenset[str]:
    """Read as ingest and the normalizer do; what the readings are like. Raises whatever the readers raise, AssertionError, or Hang."""
    seen: set[str] = set()
    with _deadline():
        take_in(content, provider=PROVIDER, media_type=None, patient_key=None, max_parts=1000)
        for reading in normalize_bytes(content, PROVIDER):
            msgspec.json.encode(as_json(reading)).decode("utf-8")
            assert (reading.reason is None) == (reading.outcome == "normalized")
            assert reading.reason is None or reading.reason in PLAYBOOK
            for place in (reading.where, *(one.where for one in reading.warnings)):
                assert place is None or PLACE.fullmatch(place), place
            for path in reading.losses.unmapped if reading.losses else ():
                assert PLACE.fullmatch(path), path
            seen |= {f"{reading.format} {reading.outcome} {reading.reason} {reading.where}"}
            seen |= {f"{reading.format} {one.code}" for one in reading.warnings}
            seen |= {f"{reading.format} {one.type} {one.status} {len(one.content.results)}" for one in reading.documents}
            seen |= {f"{reading.format} {path}" for path in (reading.losses.unmapped if reading.losses else ())}
    return frozenset(seen)


@contextmanager
def _deadline() -> Iterator[None]:
    def stop(_: int, __: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(HANG_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
