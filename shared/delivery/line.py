"""The line of ready lanes, and the workers that stand at its head."""

import asyncio
from collections import deque
from heapq import heappop, heappush

from shared.delivery.lanes import Lane


class Line:
    """Ready lanes; the one whose head has waited longest comes first, so that marks stay close behind the work.

    Workers wait here; each one that goes to work wakes the next while lanes remain.
    """

    __slots__ = ("_idle", "_is_waking", "lanes")

    def __init__(self) -> None:
        self.lanes: list[tuple[int, Lane]] = []  # a heap by order of arrival
        self._idle: deque[asyncio.Future[None]] = deque()
        self._is_waking = False

    def put(self, lane: Lane) -> None:
        """Put a lane into the line."""
        heappush(self.lanes, (lane.orders[0], lane))
        if self._idle and not self._is_waking:
            self._wake()

    def is_first(self, lane: Lane) -> bool:
        """Whether a lane would stand at the head of the line."""
        return not self.lanes or lane.orders[0] < self.lanes[0][0]

    async def take(self) -> Lane:
        """The lane at the head of the line; waits for one."""
        while not self.lanes:
            waiter = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            try:
                await waiter
            finally:
                self._is_waking = False
        lane = heappop(self.lanes)[1]
        if self.lanes and self._idle and not self._is_waking:
            self._wake()
        return lane

    def _wake(self) -> None:
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                self._is_waking = True
                waiter.set_result(None)
                return
