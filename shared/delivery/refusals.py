"""When too much is refused, the fault is probably ours: the service stops instead of draining a topic into quarantine. Pure."""

from collections import deque
from dataclasses import dataclass

from shared.delivery.lanes import PartitionLanes


@dataclass(frozen=True, slots=True)
class RefusalLimits:
    """Where a service draws the line."""

    window: int = 1000  # records looked back on
    failed_share: float = 0.05  # of them that may fail by a defect of ours
    failed_least: int = 50  # fewer failures than this never stop a service
    in_a_row: int = 50  # records of one partition refused one after the other, for whatever reason; 0 = no limit


class RefusalGuard:
    """Counts outcomes. Rejected documents alone only count when a partition yields nothing else."""

    def __init__(self, limits: RefusalLimits) -> None:
        self._limits = limits
        self._seen = 0
        self._failures: deque[int] = deque()  # serial numbers of the records that failed

    def is_too_much(self, partition: PartitionLanes, parts: int, refused: int, failed: int) -> bool:
        """Note one record: how many parts it had, how many were refused and how many of these failed. True: the service must stop."""
        self._seen += 1
        if not refused:
            partition.refused_in_a_row = 0
            return False
        limits = self._limits
        if refused == parts:
            partition.refused_in_a_row += 1
            if limits.in_a_row and partition.refused_in_a_row >= limits.in_a_row:
                return True
        if not failed:
            return False
        failures = self._failures
        failures.append(self._seen)
        while failures[0] <= self._seen - limits.window:
            failures.popleft()
        share = len(failures) / min(self._seen, limits.window)
        return len(failures) >= limits.failed_least and share > limits.failed_share
