"""The wiring of ingest: pool, content store, splitter, producer, the subscription and the HTTP door."""

from faststream.kafka import KafkaBroker

from services.ingest.digests import PostgresDigests
from services.ingest.handlers import receive_documents
from services.ingest.passing_on import Ports
from services.ingest.publishing import Publisher
from services.ingest.replay import ReplayReport, Selection, replay
from services.ingest.settings import Settings
from services.ingest.sources.http import Door, document_routes
from services.ingest.splitting import GuardedSplitter
from services.ingest.status import SyncLogStatus
from services.ingest.sync_requests import execute_requests
from shared.content_store import ContentStore
from shared.delivery import DeliveryEngine, OutcomeRecorder, Producer, subscribe
from shared.kafka import check_topics
from shared.outcomes import Stage
from shared.postgres import open_pool
from shared.postgres.migrations import check_schema
from shared.providers import load_directory
from shared.service import Service, run_service
from shared.topics import INGEST_GROUP, PUBLISHED, SYNC_GROUP, SYNC_REQUESTED

SYNCS_AT_ONCE = 2  # requests carried out side by side


def serve() -> int:
    """Run until SIGTERM; returns the exit code."""
    settings = Settings()

    async def build(service: Service) -> None:
        await wire(service, settings)

    return run_service("ingest", settings, build)


async def wire(service: Service, settings: Settings) -> None:
    """Open what is needed, subscribe, open the door. Raises Unavailable or Misconfigured."""
    platform = settings.platform
    directory = load_directory(platform.providers_file, platform.clinics_file)
    await check_topics(platform.bootstrap)
    pool = await open_pool(platform.database_url, application_name="ingest")
    service.stack.push_async_callback(pool.close)
    await check_schema(pool, "ingest")
    contents = ContentStore.open(platform.content_url)
    producer = Producer(platform.bootstrap, name="ingest")
    service.stack.push_async_callback(producer.stop)
    await producer.start()
    splitter = GuardedSplitter(settings)
    service.stack.push_async_callback(splitter.aclose)
    handler = receive_documents(Ports(splitter, PostgresDigests(pool), producer, contents, directory.profile), settings)
    engine = DeliveryEngine(stage=Stage.INGEST, handler=handler, recorder=OutcomeRecorder(producer, stage=Stage.INGEST), settings=settings)
    broker = KafkaBroker(platform.bootstrap, logger=None, graceful_timeout=None)
    subscribe(broker, topics=[PUBLISHED.name], group=INGEST_GROUP, engine=engine, settings=settings)

    async def send_again(selection: Selection, replay_id: str) -> ReplayReport:
        return await replay(selection, platform.bootstrap, pool, producer, replay_id=replay_id)

    requests = DeliveryEngine(
        stage=Stage.INGEST,
        handler=execute_requests(send_again),
        recorder=OutcomeRecorder(producer, stage=Stage.INGEST),
        settings=settings.model_copy(update={"workers": SYNCS_AT_ONCE}),
    )
    subscribe(broker, topics=[SYNC_REQUESTED.name], group=SYNC_GROUP, engine=requests, settings=settings)
    service.broker = broker
    service.checks |= {
        "kafka": lambda: producer.is_ready,
        "delivery": lambda: engine.is_ready and requests.is_ready,
        "postgres": lambda: "postgres" not in engine.open_targets,
    }

    def is_known(provider_id: str) -> bool:
        return not directory.providers or provider_id in directory.providers

    publisher = Publisher(producer, contents, directory.profile, settings)
    service.routes = [*document_routes(Door(publisher, SyncLogStatus(pool), is_known))]
