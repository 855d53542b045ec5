"""Lanes: the records of one key of one partition, one after the other. Pure."""

from collections import deque

from shared.delivery.records import Record
from shared.delivery.tracker import PartitionTracker
from shared.outcomes import Outcomes


class Lane:
    """Records of one key, oldest first; the head is worked on or waits, the others stand behind it."""

    __slots__ = ("attempt", "began", "key", "orders", "outcomes", "partition", "pauses", "records")

    def __init__(self, key: bytes | None, partition: "PartitionLanes") -> None:
        self.key = key
        self.partition = partition
        self.records: deque[Record] = deque()
        self.orders: deque[int] = deque()  # when each of them arrived, as a serial number of the engine
        self.attempt = 0  # tries of the head by the handler
        self.pauses = 0  # times in a row that the head was put off
        self.began = 0.0  # when the first try of the head began
        self.outcomes: Outcomes | None = None  # what the handler said, while it is not recorded yet


class PartitionLanes:
    """One partition in one assignment: its tracker and its lanes. Once dropped, what still runs here counts for nothing."""

    __slots__ = (
        "committed",
        "dirty_since",
        "in_flight",
        "is_active",
        "is_dropped",
        "lanes",
        "partition",
        "refused_in_a_row",
        "topic",
        "tracker",
    )

    def __init__(self, topic: str, partition: int, epoch: int) -> None:
        self.topic = topic
        self.partition = partition
        self.tracker = PartitionTracker(epoch)
        self.lanes: dict[bytes | None, Lane] = {}
        self.is_active = True  # its lanes may be worked on
        self.is_dropped = False  # given up: what is still in flight counts for nothing
        self.in_flight = 0
        self.refused_in_a_row = 0
        self.committed: int | None = None  # the mark that the broker has
        self.dirty_since: float | None = None  # when the mark was first seen ahead of `committed`

    @property
    def mark(self) -> int | None:
        """The first offset not done; None while nothing was taken."""
        return self.tracker.mark

    def append(self, record: Record, order: int) -> Lane | None:
        """Put a record at the end of its lane; gives back the lane when that made it ready, None when it already was busy.

        Records without a key share one lane, which keeps the order of their partition.
        """
        key = record.key
        lane = self.lanes.get(key)
        if lane is not None:
            lane.records.append(record)
            lane.orders.append(order)
            return None
        lane = self.lanes[key] = Lane(key, self)
        lane.records.append(record)
        lane.orders.append(order)
        return lane

    def finish(self, lane: Lane, offset: int) -> bool:
        """The lane's head is done; True when more records wait in the lane."""
        lane.records.popleft()
        lane.orders.popleft()
        lane.attempt = lane.pauses = 0
        lane.outcomes = None
        self.tracker.done(offset)
        if lane.records:
            return True
        del self.lanes[lane.key]
        return False

    def drop(self) -> None:
        """The partition is not ours any more."""
        self.is_active = False
        self.is_dropped = True
        self.lanes.clear()
