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
from shared.delivery.engine import DeliveryEngine
from shared.delivery.polling import REBALANCE_TIMEOUT_MS, SESSION_TIMEOUT_MS, Intake, Polling
from shared.settings import ServiceSettings

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
