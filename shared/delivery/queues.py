"""What waits for a partition that is delivered in batches. Pure but for the events that wake its task."""

import asyncio
from collections import deque

from shared.delivery.books import Place
from shared.delivery.records import Record


class Queue:
    """What one partition has waiting in one assignment."""

    __slots__ = (
        "committed",
        "dirty_since",
        "gone",
        "is_active",
        "is_busy",
        "is_positioned",
        "mark",
        "next",
        "place",
        "records",
        "seek_to",
        "task",
        "wake",
    )

    def __init__(self, place: Place, *, is_positioned: bool) -> None:
        self.place = place
        self.records: deque[Record] = deque()
        self.is_active = True
        self.is_busy = False
        self.is_positioned = is_positioned  # before that, what was fetched is ignored and fetched again
        self.seek_to: int | None = None  # where to begin, when the handler said so
        self.mark: int | None = None
        self.next = 0  # offsets below this one are not wanted (again)
        self.committed: int | None = None
        self.dirty_since: float | None = None
        self.wake = asyncio.Event()
        self.gone = asyncio.Event()  # the partition was taken away
        self.task: asyncio.Task[None] | None = None

    def end(self) -> None:
        """The partition goes away, or the service stops: nothing more is begun."""
        self.is_active = False
        self.gone.set()
        self.wake.set()
