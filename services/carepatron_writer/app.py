"""The wiring of the writer: ledger, one adapter for each destination, content store, producer, subscription."""

from faststream.kafka import KafkaBroker

from services.carepatron_writer.destinations import open_platforms
from services.carepatron_writer.handlers import write_documents
from services.carepatron_writer.links import PostgresLedger
from services.carepatron_writer.rendering.isolated import Renderer
from services.carepatron_writer.reviews import Reviews
from services.carepatron_writer.routes import writer_routes
from services.carepatron_writer.settings import Settings
from shared.content_store import ContentStore
from shared.delivery import DeliveryEngine, OutcomeRecorder, Producer, Record, subscribe
from shared.events import read_headers
from shared.kafka import check_topics
from shared.logs import get_logger
from shared.outcomes import Stage
from shared.postgres import open_pool
from shared.postgres.migrations import check_schema
from shared.providers import load_directory
from shared.service import Service, is_loopback, run_service
from shared.topics import NORMALIZED, WRITER_GROUP

log = get_logger(__name__)


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
    content = ContentStore.open(platform.content_url)
    renderer = Renderer(processes=settings.rendering_processes)
    service.stack.push_async_callback(renderer.aclose)
    engine = DeliveryEngine(
        stage=Stage.WRITER,
        handler=write_documents(ledger, platforms, content, renderer, read_back_share=settings.read_back_share),
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
    if is_loopback(settings.http_host):
        service.routes = [*writer_routes(Reviews(pool, platforms, producer), platforms, pool, producer)]
    else:
        log.warning("routes_off", why="no login yet: answered on this machine only", host=settings.http_host)


def destination_of(record: Record) -> str | None:
    """The destination that a record is for: an outage of one holds only its own records."""
    return read_headers(record.headers).get("destinationid")
