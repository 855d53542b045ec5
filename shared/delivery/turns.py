"""Giving the event loop its turns: handlers that never wait would otherwise keep it from its heartbeats."""

import asyncio
from collections.abc import Callable

from shared.delivery.room import settle

TURN_SECONDS = 0.005  # work in a row


class Turns:
    """All workers give way together: one after the other, the next would go on in the same turn of the loop."""

    __slots__ = ("_began", "_clock", "_end")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = 0.0
        self._end: asyncio.Future[None] | None = None

    @property
    def is_over(self) -> bool:
        """Whether it is time to give way."""
        return self._end is not None or self._clock() - self._began > TURN_SECONDS

    async def give_way(self) -> None:
        """Let the event loop do everything else that is due."""
        while self._end is not None:
            await asyncio.shield(self._end)
        if self._clock() - self._began > TURN_SECONDS:
            loop = asyncio.get_running_loop()
            end = self._end = loop.create_future()
            loop.call_soon(self._begin)
            await asyncio.shield(end)

    def _begin(self) -> None:
        end, self._end = self._end, None
        self._began = self._clock()
        if end is not None:
            settle(end)
