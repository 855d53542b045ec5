"""How fast a platform may be asked: its own rate, and the pauses it asks for, kept by all lanes together."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from shared.errors import Unavailable

LONGEST_WAIT_SECONDS = 2.0  # a turn that is further away is an outage: the lane waits, not the worker


class Pace:
    """Turns for requests: evenly spread over a minute, at most so many at once, none while the platform asks to wait."""

    def __init__(
        self,
        target: str,
        *,
        requests_per_minute: int,
        in_flight: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._target = target
        self._gap_seconds = 60 / requests_per_minute if requests_per_minute else 0.0
        self._room = asyncio.Semaphore(in_flight)
        self._clock = clock
        self._sleep = sleep
        self._next = 0.0
        self._paused_until = 0.0

    def pause(self, seconds: float) -> None:
        """The platform asked for a pause; a longer one stands."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn and hold it. Raises Unavailable when it is too far away; then nothing was sent."""
        async with self._room:
            now = self._clock()
            if now < self._paused_until:
                raise Unavailable(self._target, "paused", retry_after_seconds=self._paused_until - now, is_target_down=True)
            if self._gap_seconds:
                at = max(now, self._next)
                if at - now > LONGEST_WAIT_SECONDS:
                    raise Unavailable(self._target, "rate", retry_after_seconds=at - now)
                self._next = at + self._gap_seconds
                if at > now:
                    await self._sleep(at - now)
            yield
