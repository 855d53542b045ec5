"""One Kafka record as handlers see it, and what a handler is."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from shared.identity import coordinates
from shared.outcomes import Outcomes


class Record(NamedTuple):
    """One record, nothing decoded. `headers` may hold nulls and bytes that are no UTF-8; `key` and `value` may be None."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int

    @property
    def place(self) -> str:
        """`topic/partition/offset`."""
        return coordinates(self.topic, self.partition, self.offset)


# One record in, its outcomes out (one for each part). Raises Unavailable when something outside is away;
# anything else that escapes is a defect of ours.
Handler = Callable[[Record], Awaitable[Outcomes]]
