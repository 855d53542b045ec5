"""Kafka and PostgreSQL for tests: addresses from the environment, containers where a Docker engine answers, else embedded ones."""

import asyncio
import os
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import settings

from deploy.local.kafka import LocalKafka
from deploy.local.postgres import LocalPostgres
from shared.postgres.migrations import migrate

USED: dict[str, str] = {}

# the same examples in every run: a change is to blame for what fails. `make fuzz` looks for new ones, so does HYPOTHESIS_PROFILE=default
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


def docker_answers() -> bool:
    """Whether a Docker engine answers on its socket; never hangs."""
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not address.startswith("unix://"):
        return True  # somebody has set it on purpose
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(address.removeprefix("unix://"))
            probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in probe.recv(64)
        except OSError:
            return False


def start_container(name: str, make: Callable[[], Any]) -> Any:
    """A started container, None where there is no Docker engine or the engine cannot get the image."""
    if not docker_answers():
        return None
    try:
        container = make().start()
    except Exception as error:
        USED[name] = f"Docker answers but gave no container ({type(error).__name__}); "
        return None
    USED[name] = "testcontainers"
    return container


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the tests ran against."""
    for name, what in USED.items():
        terminalreporter.write_line(f"{name}: {what}")


@pytest.fixture(scope="session")
def state_folder() -> Iterator[Path]:
    """A folder for servers, outside pytest's own: another run of pytest locks that one against the account of PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix="healthcare-records-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _kafka_container() -> Any:
    from testcontainers.community.kafka import KafkaContainer

    settings = {"KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false", "KAFKA_MESSAGE_MAX_BYTES": "10485760"}
    return KafkaContainer().with_kraft().with_envs(**settings)


@pytest.fixture(scope="session")
def kafka_bootstrap(state_folder: Path) -> Iterator[str]:
    """A broker with the topics of the house."""
    given = os.environ.get("TEST_KAFKA_BOOTSTRAP_SERVERS")
    if given:
        USED["kafka"] = "TEST_KAFKA_BOOTSTRAP_SERVERS"
        yield _with_topics(given)
    elif container := start_container("kafka", _kafka_container):
        try:
            yield _with_topics(container.get_bootstrap_server())
        finally:
            container.stop()
    else:
        USED["kafka"] = USED.get("kafka", "") + "embedded Apache Kafka"
        broker = LocalKafka(state_folder / "kafka")
        broker.start()
        try:
            broker.wait_ready()
            yield _with_topics(broker.bootstrap)
        finally:
            broker.stop()


def _with_topics(bootstrap: str) -> str:
    from shared.kafka import apply_topics

    asyncio.run(apply_topics(bootstrap.split(",")))
    return bootstrap


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


def _postgres_container() -> Any:
    from testcontainers.community.postgres import PostgresContainer

    return PostgresContainer("postgres:18", driver=None)


@pytest.fixture(scope="session")
def postgres_url(state_folder: Path) -> Iterator[str]:
    """A server; the URL names its maintenance database."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        USED["postgres"] = "TEST_DATABASE_URL"
        yield given
    elif container := start_container("postgres", _postgres_container):
        try:
            yield container.get_connection_url()
        finally:
            container.stop()
    else:
        USED["postgres"] = USED.get("postgres", "") + "embedded PostgreSQL"
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
