"""Which offsets of a partition are done, and from where a new owner would have to go on. Pure."""

from collections import deque


class PartitionTracker:
    """Offsets handed out in one assignment (`epoch`) of one partition.

    `mark` is the first offset that is not done: what may be committed. It survives gaps (compaction, transaction markers),
    because it only ever names offsets that were handed out, or the one after the last.
    """

    __slots__ = ("_done", "_handed", "_next", "epoch")

    def __init__(self, epoch: int = 0) -> None:
        self.epoch = epoch
        self._handed: deque[int] = deque()  # handed out and not passed by the mark, ascending
        self._done: set[int] = set()  # done before one in front of them
        self._next: int | None = None  # the offset after the last one handed out

    def hand_out(self, offset: int) -> bool:
        """Remember an offset; False when it was handed out before (a repeated fetch), which must then be ignored."""
        if self._next is not None and offset < self._next:
            return False
        self._handed.append(offset)
        self._next = offset + 1
        return True

    def done(self, offset: int) -> None:
        """The offset needs no more work. Unknown and repeated offsets are ignored."""
        handed = self._handed
        if not handed or offset < handed[0]:
            return
        if offset != handed[0]:
            self._done.add(offset)
            return
        handed.popleft()
        finished = self._done
        while handed and handed[0] in finished:
            finished.remove(handed.popleft())

    @property
    def mark(self) -> int | None:
        """The first offset not done; None while nothing was handed out."""
        return self._handed[0] if self._handed else self._next

    @property
    def next(self) -> int | None:
        """The offset after the last one handed out; None while nothing was."""
        return self._next

    @property
    def outstanding(self) -> int:
        """How many offsets were handed out and are not done."""
        return len(self._handed) - len(self._done)
