"""The sandbox's time: the wall clock, which tests may replace or move ahead."""

import time
from collections.abc import Callable
from datetime import UTC, datetime


class Clock:
    """UNIX time. `ahead_seconds` moves it, so that a day need not be waited for."""

    def __init__(self, source: Callable[[], float] = time.time) -> None:
        self._source = source
        self.ahead_seconds = 0.0

    def seconds(self) -> float:
        """Seconds since 1970."""
        return self._source() + self.ahead_seconds

    def text(self) -> str:
        """RFC 3339 in UTC, microseconds."""
        return text_of(self.seconds())


def text_of(seconds: float) -> str:
    """A time as RFC 3339 in UTC, microseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def seconds_of(text: str) -> float:
    """The UNIX time of an RFC 3339 text. Raises ValueError, also without a zone."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time needs its zone")
    return found.timestamp()
