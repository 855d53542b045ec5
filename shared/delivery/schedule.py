"""Things to do later, with one timer for all of them."""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Schedule(Generic[T]):
    """Gives each item back when its time has come. `clock` must be the event loop's kind of clock (monotonic seconds)."""

    def __init__(self, clock: Callable[[], float], release: Callable[[T], None]) -> None:
        self._clock = clock
        self._release = release
        self._heap: list[tuple[float, int, T]] = []
        self._serial = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def put(self, item: T, seconds: float) -> None:
        """Release the item after so many seconds."""
        heapq.heappush(self._heap, (self._clock() + max(0.0, seconds), next(self._serial), item))
        self._arm()

    def clear(self) -> None:
        """Forget everything."""
        self._heap.clear()
        self._arm()

    def __len__(self) -> int:
        return len(self._heap)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            wait = max(0.0, self._heap[0][0] - self._clock())
            self._timer = asyncio.get_running_loop().call_later(wait, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = self._clock()
        due: list[T] = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        for item in due:
            self._release(item)
        self._arm()
