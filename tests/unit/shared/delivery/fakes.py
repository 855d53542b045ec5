"""An engine with fakes around it."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from shared.delivery.engine import DeliveryEngine
from shared.delivery.records import Record
from shared.errors import Unavailable
from shared.outcomes import Done, Outcome, Outcomes, Stage, Status
from shared.settings import ServiceSettings

OK: list[Outcome] = [Done(Status.NORMALIZED)]
SETTINGS: dict[str, Any] = {"workers": 8, "buffered_records": 100, "drain_seconds": 2.0, "retry_max_seconds": 0.02}


def record(offset: int, key: str | None = "a", *, partition: int = 0, topic: str = "t", value: bytes | None = b"x", headers=()) -> Record:
    return Record(topic, partition, offset, None if key is None else key.encode(), value, tuple(headers), 0)


class MemoryRecorder:
    """Remembers what was recorded; `outages` makes the next calls fail."""

    def __init__(self) -> None:
        self.rows: list[tuple[Record, list[Outcome], int]] = []
        self.outages = 0
        self.defects = 0

    async def record(self, record: Record, outcomes: Outcomes, *, attempt: int, duration_ms: int) -> None:
        await asyncio.sleep(0)
        if self.outages:
            self.outages -= 1
            raise Unavailable("kafka")
        if self.defects:
            self.defects -= 1
            raise TypeError("a defect of the recorder")
        self.rows.append((record, list(outcomes), attempt))

    @property
    def offsets(self) -> list[int]:
        return [one.offset for one, _, _ in self.rows]

    def by_key(self) -> dict[bytes | None, list[int]]:
        found: dict[bytes | None, list[int]] = defaultdict(list)
        for one, _, _ in self.rows:
            found[one.key].append(one.offset)
        return dict(found)


def engine(handler: Callable[[Record], Awaitable[Outcomes]], recorder: MemoryRecorder, **options: Any) -> DeliveryEngine:
    settings = {**SETTINGS, **{name: options.pop(name) for name in list(options) if name in ServiceSettings.model_fields}}
    made = DeliveryEngine(stage=Stage.NORMALIZER, handler=handler, recorder=recorder, settings=ServiceSettings(**settings), **options)
    made.start()
    return made


async def fine(_: Record) -> Sequence[Outcome]:
    return OK


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for a condition, with a deadline."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition():
        assert loop.time() < end, "waited in vain"
        await asyncio.sleep(0.001)
