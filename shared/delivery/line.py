"""The line of ready lanes, and the workers that stand at its head."""

import asyncio
from collections import deque
from heapq import heappop, heappush

from shared.delivery.lanes import Lane


class Line:
    """Ready lanes; the one whose head has waited longest comes first, so that marks stay close behind the work.

    Workers wait here; each one that goes to work wakes the next while lanes remain.
    """

    __slots__ = ("_again", "_fresh", "_idle", "_is_waking")

    def __init__(self) -> None:
        self._fresh: deque[Lane] = deque()  # in the order in which their heads arrived
        self._again: list[tuple[int, Lane]] = []  # a heap by that order
        self._idle: deque[asyncio.Future[None]] = deque()
        self._is_waking = False

    def put_fresh(self, lane: Lane) -> None:
        """Put a lane into the line whose head has arrived just now."""
        self._fresh.append(lane)
        if self._idle and not self._is_waking:
            self._wake()

    def put(self, lane: Lane) -> None:
        """Put a lane into the line that was there before."""
        heappush(self._again, (lane.orders[0], lane))
        if self._idle and not self._is_waking:
            self._wake()

    def is_first(self, lane: Lane) -> bool:
        """Whether a lane would stand at the head of the line."""
        order = lane.orders[0]
        return (not self._fresh or order < self._fresh[0].orders[0]) and (not self._again or order < self._again[0][0])

    async def take(self) -> Lane:
        """The lane at the head of the line; waits for one."""
        fresh, again = self._fresh, self._again
        while not fresh and not again:
            waiter = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            try:
                await waiter
            finally:
                self._is_waking = False
        if again and (not fresh or again[0][0] < fresh[0].orders[0]):
            lane = heappop(again)[1]
        else:
            lane = fresh.popleft()
        if self._idle and not self._is_waking and (fresh or again):
            self._wake()
        return lane

    def _wake(self) -> None:
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                self._is_waking = True
                waiter.set_result(None)
                return
