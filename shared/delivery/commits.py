"""Commits marks, explicitly and with a deadline."""

import asyncio
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, KafkaError

from shared.logs import get_logger

logger = get_logger(__name__)


class Committer:
    """One commit at a time. The client retries for ever while the coordinator is away; the deadline ends that."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._lock = asyncio.Lock()
        self._deadline: asyncio.Timeout | None = None

    async def commit(self, consumer: AIOKafkaConsumer, marks: Mapping[tuple[str, int], int], *, seconds: float) -> bool:
        """Commit `{place: mark}`; False when the broker did not take it. Never raises: the next commit says the same and more."""
        if not marks:
            return True
        offsets = {TopicPartition(*place): mark for place, mark in marks.items()}
        async with self._lock:
            try:
                async with asyncio.timeout(seconds) as self._deadline:
                    await consumer.commit(offsets)
            except CommitFailedError:  # the group has moved on: the next owner does the rest again
                logger.warning("commit_refused", group=self._group, count=len(marks))
                return False
            except (KafkaError, TimeoutError) as error:
                logger.warning("commit_failed", group=self._group, count=len(marks), why=type(error).__name__)
                return False
            finally:
                self._deadline = None
        return True

    def abort(self) -> None:
        """End a commit that hangs. One for partitions that are being revoked must not go out later, under another generation."""
        if self._deadline is not None and not self._deadline.expired():
            self._deadline.reschedule(asyncio.get_running_loop().time())
