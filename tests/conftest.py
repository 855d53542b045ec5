"""Kafka and PostgreSQL for tests: addresses from the environment, containers where a Docker engine answers, else embedded ones."""

import asyncio
import os
import socket
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from deploy.local.kafka import LocalKafka
from deploy.local.postgres import LocalPostgres
from shared.postgres.migrations import migrate

USED: dict[str, str] = {}


def docker_answers() -> bool:
    """Whether a Docker engine listens on its socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        return probe.connect_ex("/var/run/docker.sock") == 0


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the tests ran against."""
    for name, what in USED.items():
        terminalreporter.write_line(f"{name}: {what}")


@pytest.fixture(scope="session")
def state_folder() -> Iterator[Path]:
    """A folder for servers, outside pytest's own: another run of pytest locks that one against the account of PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix="healthcare-records-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def kafka_bootstrap(state_folder: Path) -> Iterator[str]:
    """A broker with the topics of the house."""
    from shared.kafka import apply_topics

    given = os.environ.get("TEST_KAFKA_BOOTSTRAP_SERVERS")
    if given:
        USED["kafka"] = "TEST_KAFKA_BOOTSTRAP_SERVERS"
        asyncio.run(apply_topics(given.split(",")))
        yield given
    elif docker_answers():
        from testcontainers.kafka import KafkaContainer

        USED["kafka"] = "testcontainers"
        with KafkaContainer().with_kraft() as container:
            asyncio.run(apply_topics([container.get_bootstrap_server()]))
            yield container.get_bootstrap_server()
    else:
        USED["kafka"] = "embedded Apache Kafka"
        broker = LocalKafka(state_folder / "kafka")
        broker.start()
        try:
            broker.wait_ready()
            asyncio.run(apply_topics([broker.bootstrap]))
            yield broker.bootstrap
        finally:
            broker.stop()


@pytest.fixture
def local_kafka(state_folder: Path) -> Iterator[LocalKafka]:
    """A broker of the test's own, to be stopped, killed and started again."""
    broker = LocalKafka(state_folder / f"kafka-{uuid.uuid4().hex}")
    broker.start()
    try:
        broker.wait_ready()
        yield broker
    finally:
        broker.stop()


@pytest.fixture(scope="session")
def postgres_url(state_folder: Path) -> Iterator[str]:
    """A server; the URL names its maintenance database."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        USED["postgres"] = "TEST_DATABASE_URL"
        yield given
    elif docker_answers():
        from testcontainers.postgres import PostgresContainer

        USED["postgres"] = "testcontainers"
        with PostgresContainer("postgres:18", driver=None) as container:
            yield container.get_connection_url()
    else:
        USED["postgres"] = "embedded PostgreSQL"
        server = LocalPostgres(state_folder / "postgres", settings={"fsync": "off"})
        server.start()
        try:
            server.wait_ready()
            yield server.url()
        finally:
            server.stop()


@pytest.fixture
def local_postgres(state_folder: Path) -> Iterator[LocalPostgres]:
    """A server of the test's own, to be stopped, killed and started again."""
    server = LocalPostgres(state_folder / f"postgres-{uuid.uuid4().hex}")
    server.start()
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """A fresh, empty database."""
    name = f"test_{uuid.uuid4().hex}"
    asyncio.run(_execute(postgres_url, f"CREATE DATABASE {name}"))
    yield f"{postgres_url.rpartition('/')[0]}/{name}"
    asyncio.run(_execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def migrated_url(database_url: str) -> str:
    """A fresh database with the schema of every service."""
    migrate(database_url)
    return database_url


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
