"""A member in a process of its own, to be killed: `python killed_member.py BOOTSTRAP TOPIC GROUP FILE`.

Each effect is a line `partition offset key` in FILE, written and flushed before the handler returns.
"""

import asyncio
import random
import sys

from faststream.kafka import KafkaBroker

from shared.delivery import DeliveryEngine, Record, subscribe
from shared.outcomes import Done, Outcome, Outcomes, Stage, Status
from shared.settings import ServiceSettings


class NoRecorder:
    async def record(self, record: Record, outcomes: Outcomes, *, attempt: int, duration_ms: int) -> None:
        await asyncio.sleep(0.001)


async def main(bootstrap: str, topic: str, group: str, path: str) -> None:
    with open(path, "a", buffering=1) as effects:  # noqa: ASYNC230  # one line at a time, as an effect that lasts

        async def handler(record: Record) -> list[Outcome]:
            await asyncio.sleep(random.random() * 0.005)
            effects.write(f"{record.partition} {record.offset} {(record.key or b'').decode()}\n")
            return [Done(Status.NORMALIZED)]

        settings = ServiceSettings(workers=16, commit_interval_seconds=0.1)
        engine = DeliveryEngine(stage=Stage.NORMALIZER, handler=handler, recorder=NoRecorder(), settings=settings)
        broker = KafkaBroker([bootstrap], logger=None, consumer_only=True)
        subscribe(
            broker,
            topics=[topic],
            group=group,
            engine=engine,
            settings=settings,
            session_timeout_ms=6_000,
            rebalance_timeout_ms=10_000,
            heartbeat_interval_ms=500,
        )
        await broker.start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
