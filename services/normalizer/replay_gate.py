"""Replays yield to live traffic: they wait while live records wait here, or while the writer is behind."""

import asyncio
from collections.abc import Awaitable, Callable

from shared.delivery.records import Handler, Record
from shared.errors import Unavailable
from shared.kafka import committed_and_end_offsets
from shared.logs import get_logger
from shared.outcomes import Outcomes
from shared.topics import NORMALIZED, NORMALIZER_GROUP, RECEIVED, WRITER_GROUP

EVERY_SECONDS = 2.0
logger = get_logger(__name__)


class ReplayGate:
    """Looks at the lag of live consumers every two seconds while a replay runs, and holds replayed records back above the limit."""

    def __init__(self, lag: Callable[[], Awaitable[int]], *, limit: int) -> None:
        self._lag = lag
        self._limit = limit
        self._looked_at = float("-inf")
        self._is_open = True
        self._look = asyncio.Lock()
        self.is_closing = False

    def guard(self, handler: Handler) -> Handler:
        """The handler behind the gate."""

        async def on_document_replayed(record: Record) -> Outcomes:
            while not await self._passes():
                if self.is_closing:
                    raise Unavailable("live-traffic", "stopping")
                await asyncio.sleep(EVERY_SECONDS)
            return await handler(record)

        return on_document_replayed

    async def _passes(self) -> bool:
        now = asyncio.get_running_loop().time()
        async with self._look:
            if now - self._looked_at >= EVERY_SECONDS:
                lag = await self._lag()
                if (lag <= self._limit) != self._is_open:
                    self._is_open = not self._is_open
                    logger.info("replay_resumed" if self._is_open else "replay_paused", lag=lag)
                self._looked_at = now
        return self._is_open


async def live_lag(bootstrap: list[str]) -> int:
    """The larger lag of the two live consumers that a replay would hold up. Raises Unavailable."""
    waiting = [
        sum(end - (begin if committed is None else committed) for committed, begin, end in offsets.values())
        for offsets in (
            await committed_and_end_offsets(bootstrap, NORMALIZER_GROUP, [RECEIVED.name]),
            await committed_and_end_offsets(bootstrap, WRITER_GROUP, [NORMALIZED.name]),
        )
    ]
    return max(waiting)
