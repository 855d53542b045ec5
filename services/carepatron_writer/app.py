"""The wiring of the writer: ledger, one adapter for each destination, content store, producer, subscription."""

import re
from collections.abc import Callable, Mapping

from faststream.kafka import KafkaBroker

from services.carepatron_writer.handlers import write_documents
from services.carepatron_writer.links import PostgresLedger
from services.carepatron_writer.platforms.carepatron import open_carepatron
from services.carepatron_writer.platforms.port import Platform
from services.carepatron_writer.settings import AccountSettings, Settings
from shared.content_store import ContentStore
from shared.delivery import DeliveryEngine, OutcomeRecorder, Producer, Record, subscribe
from shared.errors import Misconfigured
from shared.events import read_headers
from shared.kafka import check_topics
from shared.outcomes import Stage
from shared.postgres import open_pool
from shared.postgres.migrations import check_schema
from shared.providers import Directory, load_directory
from shared.service import Service, run_service
from shared.topics import NORMALIZED, WRITER_GROUP

PLATFORMS: Mapping[str, Callable[[str, AccountSettings], Platform]] = {"carepatron": open_carepatron}


def serve() -> int:
    """Run until SIGTERM; returns the exit code."""
    settings = Settings()

    async def build(service: Service) -> None:
        await wire(service, settings)

    return run_service("carepatron_writer", settings, build)


async def wire(service: Service, settings: Settings) -> None:
    """Open what is needed and subscribe. Raises Unavailable or Misconfigured."""
    platform = settings.platform
    platforms = open_platforms(load_directory(platform.providers_file, platform.clinics_file))
    for one in platforms.values():
        service.stack.push_async_callback(one.aclose)
    await check_topics(platform.bootstrap)
    pool = await open_pool(platform.database_url, application_name="carepatron_writer", max_size=settings.ledger_connections)
    service.stack.push_async_callback(pool.close)
    await check_schema(pool, "carepatron_writer")
    ledger = PostgresLedger(pool)
    service.stack.push_async_callback(ledger.aclose)
    producer = Producer(platform.bootstrap, name="carepatron_writer")
    service.stack.push_async_callback(producer.stop)
    await producer.start()
    engine = DeliveryEngine(
        stage=Stage.WRITER,
        handler=write_documents(ledger, platforms, ContentStore.open(platform.content_url), read_back_share=settings.read_back_share),
        recorder=OutcomeRecorder(producer, stage=Stage.WRITER),
        settings=settings,
        target_of=destination_of,
    )
    broker = KafkaBroker(platform.bootstrap, logger=None, graceful_timeout=None)
    subscribe(broker, topics=[NORMALIZED.name], group=WRITER_GROUP, engine=engine, settings=settings)
    service.broker = broker
    service.checks |= {
        "kafka": lambda: producer.is_ready,
        "delivery": lambda: engine.is_ready,
        "postgres": lambda: "postgres" not in engine.open_targets,
    }


def open_platforms(directory: Directory) -> dict[str, Platform]:
    """An adapter for each destination of each clinic. Raises Misconfigured for an unknown platform or an account given twice."""
    opened: dict[str, Platform] = {}
    for clinic in directory.clinics.values():
        for destination in clinic.destinations:
            if destination.platform not in PLATFORMS:
                raise Misconfigured(f"clinics.toml: {destination.id}: platform {destination.platform} is none of {', '.join(PLATFORMS)}")
            if destination.id in opened:
                raise Misconfigured(f"clinics.toml: destination {destination.id} is there twice: each account has an id of its own")
            prefix = re.sub(r"\W", "_", destination.id).upper() + "_"
            account = AccountSettings(_env_prefix=prefix)  # a parameter of pydantic-settings
            if not account.base_url:
                raise Misconfigured(f"{prefix}BASE_URL must be set: where destination {destination.id} answers")
            opened[destination.id] = PLATFORMS[destination.platform](destination.id, account)
    return opened


def destination_of(record: Record) -> str | None:
    """The destination that a record is for: an outage of one holds only its own records."""
    return read_headers(record.headers).get("destinationid")
