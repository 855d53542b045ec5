"""How much an engine holds, and waiting until there is room for more."""

import asyncio

from shared.delivery.records import Record


class Room:
    """Bounds on records and bytes that are polled and not done."""

    __slots__ = ("_is_low_wanted", "_waiter", "bytes", "max_bytes", "max_records", "records")

    def __init__(self, max_records: int, max_bytes: int) -> None:
        self.max_records = max_records
        self.max_bytes = max_bytes
        self.records = 0
        self.bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._is_low_wanted = False

    @property
    def is_full(self) -> bool:
        """Whether more is held than the bounds allow."""
        return self.records >= self.max_records or self.bytes >= self.max_bytes

    @property
    def is_low(self) -> bool:
        """Whether at least a quarter is free."""
        return self.records * 4 <= self.max_records * 3 and self.bytes * 4 <= self.max_bytes * 3

    def add(self, record: Record) -> None:
        """A record came in."""
        self.records += 1
        self.bytes += len(record.value or b"")

    def release(self, record: Record) -> None:
        """A record is done or dropped."""
        self.records -= 1
        self.bytes -= len(record.value or b"")
        if self._waiter is not None and (self.is_low if self._is_low_wanted else not self.is_full):
            settle(self._waiter)

    async def wait(self, seconds: float, *, low: bool = False) -> bool:
        """True as soon as there is room (`low`: a quarter of it); False when that takes longer."""
        if self.is_low if low else not self.is_full:
            return True
        loop = asyncio.get_running_loop()
        self._is_low_wanted = low
        waiter = self._waiter = loop.create_future()
        timer = loop.call_later(seconds, settle, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None
        return self.is_low if low else not self.is_full


def settle(waiter: "asyncio.Future[None]") -> None:
    """Wake whoever waits, once."""
    if not waiter.done():
        waiter.set_result(None)
