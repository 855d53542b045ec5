"""The wiring of audit: pool, two partition logs, the books in the background, API and dashboard behind the service's door."""

from functools import partial

from faststream.kafka import KafkaBroker
from starlette.routing import Mount

from services.audit.api.application import make_application
from services.audit.appending import Appender
from services.audit.books_keeper import BooksKeeper
from services.audit.desk import record_quarantined
from services.audit.handlers import FindBeginning, PartitionLog
from services.audit.keeping import Anchors
from services.audit.settings import Settings
from services.audit.sync_log import record_outcomes
from services.audit.verification import verify
from shared.delivery import PartitionBatchSubscription
from shared.kafka import check_topics, committed_and_end_offsets
from shared.postgres import open_pool
from shared.postgres.migrations import check_schema
from shared.service import Service, run_service
from shared.topics import AUDIT_GROUP, DESK_GROUP, OUTCOMES, QUARANTINED


def serve() -> int:
    """Run until SIGTERM; returns the exit code."""
    settings = Settings()

    async def build(service: Service) -> None:
        await wire(service, settings)

    return run_service("audit", settings, build)


async def wire(service: Service, settings: Settings) -> None:
    """Open what is needed and subscribe. Raises Unavailable or Misconfigured."""
    platform = settings.platform
    await check_topics(platform.bootstrap)
    pool = await open_pool(platform.database_url, application_name="audit")
    service.stack.push_async_callback(pool.close)
    await check_schema(pool, "audit")
    broker = KafkaBroker(platform.bootstrap, logger=None, graceful_timeout=None)
    find_beginning = beginnings(platform.bootstrap)
    for name, topic, group, write in (
        ("outcomes", OUTCOMES, AUDIT_GROUP, partial(record_outcomes, appender=Appender())),
        ("quarantine", QUARANTINED, DESK_GROUP, record_quarantined),
    ):
        log = PartitionLog(pool, group, write, find_beginning)
        subscription = PartitionBatchSubscription(
            broker,
            stage="audit",
            topics=[topic.name],
            group=group,
            handler=log.on_batch,
            on_poison=log.on_poison,
            start_offset=log.start_offset,
            max_batch=settings.batch_records,
            settings=settings,
        )
        service.checks[name] = lambda subscription=subscription: subscription.is_ready  # type: ignore[misc]
        service.checks[f"postgres for {name}"] = lambda log=log: log.is_reachable  # type: ignore[misc]
    books = BooksKeeper(
        lambda: verify(platform.database_url, platform.kafka_bootstrap_servers), interval_seconds=settings.books_interval_seconds
    )
    anchors = Anchors(pool, settings.anchors, url=settings.anchor_url or None, interval_seconds=settings.anchor_interval_seconds)
    service.on_running += [books.start, anchors.start]
    service.on_stopping += [books.stop, anchors.stop]
    service.routes.append(Mount("/", make_application(pool, books, refresh_seconds=settings.refresh_seconds)))
    service.broker = broker


def beginnings(bootstrap: list[str]) -> FindBeginning:
    """Where Kafka begins, looked up when a partition has no position in PostgreSQL."""

    async def find_beginning(topic: str, partition: int) -> int:
        found = await committed_and_end_offsets(bootstrap, AUDIT_GROUP, [topic])
        return found[topic, partition][1]

    return find_beginning


if __name__ == "__main__":
    raise SystemExit(serve())
