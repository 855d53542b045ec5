"""The wiring of the normalizer: pool, registry, content store, reader, producer, and two subscriptions (live and replayed)."""

from faststream.kafka import KafkaBroker

from services.normalizer.guarded_reading import GuardedReader
from services.normalizer.handlers import normalize_documents
from services.normalizer.registry.batching import BatchingRegistry
from services.normalizer.registry.store import PostgresRegistry
from services.normalizer.relevance import load_relevance
from services.normalizer.replay_gate import ReplayGate, live_lag
from services.normalizer.settings import Settings
from shared.content_store import ContentStore
from shared.delivery import DeliveryEngine, OutcomeRecorder, Producer, subscribe
from shared.kafka import check_topics
from shared.outcomes import Stage
from shared.postgres import open_pool
from shared.postgres.migrations import check_schema
from shared.providers import load_directory
from shared.service import Service, run_service
from shared.topics import NORMALIZER_GROUP, RECEIVED, REPLAY_GROUP, REPLAYED


def serve() -> int:
    """Run until SIGTERM; returns the exit code."""
    settings = Settings()

    async def build(service: Service) -> None:
        await wire(service, settings)

    return run_service("normalizer", settings, build)


async def wire(service: Service, settings: Settings) -> None:
    """Open what is needed and subscribe. Raises Unavailable or Misconfigured."""
    platform = settings.platform
    directory = load_directory(platform.providers_file, platform.clinics_file)
    relevance = load_relevance(settings.relevance_file)
    await check_topics(platform.bootstrap)
    pool = await open_pool(platform.database_url, application_name="normalizer")
    service.stack.push_async_callback(pool.close)
    await check_schema(pool, "normalizer")
    content = ContentStore.open(platform.content_url)
    producer = Producer(platform.bootstrap, name="normalizer")
    service.stack.push_async_callback(producer.stop)
    await producer.start()
    reader = GuardedReader(
        inline_bytes=settings.inline_bytes, read_seconds=settings.read_seconds, read_memory_bytes=settings.read_memory_bytes
    )
    service.stack.push_async_callback(reader.aclose)
    registry = BatchingRegistry(PostgresRegistry(pool))
    handler = normalize_documents(
        registry,
        reader,
        content,
        producer,
        directory,
        relevance,
        claim_check_bytes=settings.claim_check_bytes,
        patient_wait_seconds=settings.patient_wait_seconds,
    )
    recorder = OutcomeRecorder(producer, stage=Stage.NORMALIZER)
    gate = ReplayGate(lambda: live_lag(platform.bootstrap), limit=settings.replay_lag_limit)
    live = DeliveryEngine(stage=Stage.NORMALIZER, handler=handler, recorder=recorder, settings=settings)
    replayed = DeliveryEngine(stage=Stage.NORMALIZER, handler=gate.guard(handler), recorder=recorder, settings=settings)
    broker = KafkaBroker(platform.bootstrap, logger=None, graceful_timeout=None)
    subscribe(broker, topics=[RECEIVED.name], group=NORMALIZER_GROUP, engine=live, settings=settings)
    subscribe(broker, topics=[REPLAYED.name], group=REPLAY_GROUP, engine=replayed, settings=settings)
    service.broker = broker
    service.checks |= {
        "kafka": lambda: producer.is_ready,
        "delivery": lambda: live.is_ready and replayed.is_ready,
        "postgres": lambda: "postgres" not in live.open_targets,
    }

    async def close_gate() -> None:
        gate.is_closing = True

    service.on_stopping.append(close_gate)
