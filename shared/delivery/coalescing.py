"""Many single writes, one round trip: what several lanes want to write within a few milliseconds goes out together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from shared.errors import Unavailable

T = TypeVar("T")
R = TypeVar("R")


class CoalescingWriter(Generic[T, R]):
    """Await it with one item; it collects the items of all callers and hands them to `write` in one call.

    `write` gives back one result for each item, in order. When it raises `Unavailable`, every caller of that batch gets it. When it
    raises anything else, the items are written one by one, so that only the caller of a bad item gets the exception.
    """

    def __init__(
        self,
        write: Callable[[list[T]], Awaitable[Sequence[R]]],
        *,
        max_items: int = 500,
        max_wait_ms: float = 3.0,
        max_concurrent: int = 2,
    ) -> None:
        self._write = write
        self._max_items = max_items
        self._max_wait_seconds = max_wait_ms / 1000
        self._max_concurrent = max_concurrent
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._writes: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def __call__(self, item: T) -> R:
        """Write the item and give back its result. Raises what `write` raises for it."""
        if self._is_closed:
            raise RuntimeError("the writer is closed")
        loop = asyncio.get_running_loop()
        result: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, result))
        if len(self._waiting) >= self._max_items:
            self._start_write()
        elif self._timer is None:
            self._timer = loop.call_later(self._max_wait_seconds, self._start_write)
        return await result

    async def aclose(self) -> None:
        """Write what is waiting and wait for it."""
        self._is_closed = True
        while self._waiting or self._writes:
            self._start_write()
            await asyncio.gather(*self._writes)

    def _start_write(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting and len(self._writes) < self._max_concurrent:
            batch, self._waiting = self._waiting[: self._max_items], self._waiting[self._max_items :]
            task = asyncio.get_running_loop().create_task(self._write_batch(batch))
            self._writes.add(task)
            task.add_done_callback(self._finish_write)

    def _finish_write(self, task: asyncio.Task[None]) -> None:
        self._writes.discard(task)
        if self._waiting:  # they have waited for a free place already
            self._start_write()

    async def _write_batch(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        wanted = [(item, result) for item, result in batch if not result.done()]  # a caller may have gone away
        if not wanted:
            return
        try:
            results = await self._write([item for item, _ in wanted])
            if len(results) != len(wanted):
                raise ValueError(f"{len(results)} results for {len(wanted)} items")
        except Unavailable as error:
            for _, result in wanted:
                _fail(result, error)
        except Exception as error:
            if len(wanted) == 1:
                _fail(wanted[0][1], error)
            else:
                for pair in wanted:
                    await self._write_batch([pair])
        except BaseException as error:  # cancelled with the loop: nobody may hang
            for _, result in wanted:
                _fail(result, error)
            raise
        else:
            for (_, result), one in zip(wanted, results, strict=True):
                if not result.done():
                    result.set_result(one)


def _fail(result: "asyncio.Future[R]", error: BaseException) -> None:
    if result.done():
        return
    if isinstance(error, asyncio.CancelledError):
        result.cancel()
    else:
        result.set_exception(error)
