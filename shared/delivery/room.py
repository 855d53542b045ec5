"""How much an engine holds, and waiting until there is room for more."""

import asyncio

from shared.delivery.records import Record


class Room:
    """Bounds on records and bytes that are polled and not done."""

    __slots__ = ("_max_bytes", "_max_records", "_waiter", "bytes", "records")

    def __init__(self, max_records: int, max_bytes: int) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._waiter: asyncio.Future[None] | None = None
        self.records = 0
        self.bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether more is held than the bounds allow."""
        return self.records >= self._max_records or self.bytes >= self._max_bytes

    def add(self, record: Record) -> None:
        """A record came in."""
        self.records += 1
        self.bytes += len(record.value or b"")

    def release(self, record: Record) -> None:
        """A record is done or dropped."""
        self.records -= 1
        self.bytes -= len(record.value or b"")
        if self._waiter is not None and not self.is_full:
            settle(self._waiter)

    async def wait(self, seconds: float) -> bool:
        """True as soon as there is room; False when that takes longer."""
        if not self.is_full:
            return True
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        timer = loop.call_later(seconds, settle, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None
        return not self.is_full


def settle(waiter: "asyncio.Future[None]") -> None:
    """Wake whoever waits, once."""
    if not waiter.done():
        waiter.set_result(None)
