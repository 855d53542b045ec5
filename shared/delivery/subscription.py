"""Wires a FastStream broker to a delivery engine: a subscriber that starts, drains and stops with the broker.

The subscriber has FastStream's consumer and life cycle; the engine polls that consumer itself (docs/decisions/0001).
"""

from collections.abc import Callable, Sequence
from typing import Any

from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from faststream import AckPolicy
from faststream._internal.broker.registrator import Registrator
from faststream._internal.endpoint.subscriber.call_item import CallsCollection
from faststream.kafka import KafkaBroker
from faststream.kafka.schemas import Topic
from faststream.kafka.subscriber.config import KafkaSubscriberConfig, KafkaSubscriberSpecificationConfig
from faststream.kafka.subscriber.specification import KafkaSubscriberSpecification
from faststream.kafka.subscriber.usecase import BatchSubscriber

from shared.delivery import exits
from shared.delivery.batches import MAX_BATCH, BatchEngine, BatchHandler, OnPoison, StartOffset
from shared.delivery.engine import DeliveryEngine
from shared.delivery.intake import Intake
from shared.delivery.polling import REBALANCE_TIMEOUT_MS, SESSION_TIMEOUT_MS, Polling
from shared.settings import ServiceSettings

# a batch may wait for company at the broker too: fewer, fuller answers
GATHERED: dict[str, Any] = {"fetch_min_bytes": 65_536, "fetch_max_wait_ms": 250}
GATHER_SECONDS = 0.25  # how long the first record after a lull waits for others

CONSUMER: dict[str, Any] = {
    "auto_offset_reset": "none",  # a group without offsets is rewound to the beginning; a lost range is never jumped over
    "isolation_level": "read_committed",  # a provider may write in transactions; what it took back was never sent
    "max_partition_fetch_bytes": 262_144,
    "session_timeout_ms": SESSION_TIMEOUT_MS,
    "heartbeat_interval_ms": 3_000,
    "rebalance_timeout_ms": REBALANCE_TIMEOUT_MS,
    "max_poll_interval_ms": 300_000,
    "partition_assignment_strategy": [StickyPartitionAssignor],
}


class EngineSubscriber(BatchSubscriber):
    """A FastStream subscriber without handlers of its own: what it consumes goes to an engine."""

    polling: Polling

    async def start(self) -> None:
        """Join the group and poll."""
        self.polling.engine.start()
        await super().start()
        self.polling.begin()

    async def stop(self) -> None:
        """Drain and commit, then leave the group."""
        await self.polling.finish()
        await super().stop()


def subscribe(
    broker: KafkaBroker,
    *,
    topics: Sequence[str],
    group: str,
    engine: DeliveryEngine,
    settings: ServiceSettings,
    exit_process: Callable[[int], object] = exits.leave,
    **consumer: Any,
) -> Polling:
    """Let `engine` consume `topics` as a member of `group`, from when the broker starts until it stops.

    `consumer` changes single parameters of the client (for tests). The process ends itself through `exit_process` (codes in `exits`).
    """
    return attach(
        broker,
        engine,
        stage=engine.stage.value,
        topics=topics,
        group=group,
        commit_seconds=settings.commit_interval_seconds,
        exit_process=exit_process,
        consumer=consumer,
    )


def attach(
    broker: KafkaBroker,
    engine: Intake,
    *,
    stage: str,
    topics: Sequence[str],
    group: str,
    commit_seconds: float,
    exit_process: Callable[[int], object],
    consumer: dict[str, Any],
) -> Polling:
    """Register a subscriber that feeds `engine`."""
    options = {**CONSUMER, **consumer}
    polling = Polling(
        engine,
        stage=stage,
        group=group,
        commit_seconds=commit_seconds,
        exit_process=exit_process,
        session_timeout_ms=options["session_timeout_ms"],
        rebalance_timeout_ms=options["rebalance_timeout_ms"],
    )
    names = [Topic(one) for one in topics]
    config: Any = broker.config
    calls: CallsCollection[Any] = CallsCollection()
    subscriber = EngineSubscriber(
        KafkaSubscriberConfig(
            topics=names,
            group_id=group,
            connection_args=options,
            listener=polling,
            no_reply=True,
            _outer_config=config,
            _ack_policy=AckPolicy.MANUAL,  # nothing but the engine commits
        ),
        KafkaSubscriberSpecification(
            _outer_config=config,
            calls=calls,
            specification_config=KafkaSubscriberSpecificationConfig(topics=names, title_=None, description_=None, include_in_schema=False),
        ),
        calls,
        batch_timeout_ms=1000,
        max_records=None,
    )
    subscriber.polling = polling
    polling.bind(lambda: subscriber.consumer)
    Registrator.subscriber(broker, subscriber, persistent=True)
    return polling


class PartitionBatchSubscription:
    """Lets `handler` consume all records of a partition in order, in batches, as a member of `group`.

    The handler stores the offset with its effect and gives back where the partition stands; `start_offset` says the same when a
    partition is assigned. Kafka's own commits follow at leisure, for lag meters. A record that makes the handler fail with anything
    but `Unavailable` goes alone to `on_poison`, which stores the offset too.
    """

    def __init__(
        self,
        broker: KafkaBroker,
        *,
        stage: str,
        topics: Sequence[str],
        group: str,
        handler: BatchHandler,
        on_poison: OnPoison,
        settings: ServiceSettings,
        start_offset: StartOffset | None = None,
        max_batch: int = MAX_BATCH,
        gather_seconds: float = GATHER_SECONDS,
        exit_process: Callable[[int], object] = exits.leave,
        **consumer: Any,
    ) -> None:
        self.engine = BatchEngine(
            stage=stage,
            handler=handler,
            on_poison=on_poison,
            start_offset=start_offset,
            settings=settings,
            max_batch=max_batch,
            gather_seconds=gather_seconds,
        )
        self.polling = attach(
            broker,
            self.engine,
            stage=stage,
            topics=topics,
            group=group,
            commit_seconds=settings.commit_interval_seconds,
            exit_process=exit_process,
            consumer={**GATHERED, **consumer},
        )
        self.engine.bind(self.polling.seek)

    @property
    def is_ready(self) -> bool:
        """Whether records are taken."""
        return self.engine.is_ready
