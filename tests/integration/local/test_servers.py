"""Kafka and PostgreSQL of our own: what they were told survives a kill and a restart on the same port; jars are fetched once."""

import asyncio
import json
import zipfile
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.local import jars
from deploy.local.kafka import LocalKafka
from deploy.local.postgres import LocalPostgres
from shared.errors import Misconfigured

TOPIC = "kept"


async def _send(bootstrap: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=[bootstrap], acks="all", enable_idempotence=True)
    await producer.start()
    try:
        await producer.send_and_wait(TOPIC, value, partition=0)
    finally:
        await producer.stop()


async def _read(bootstrap: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=[bootstrap], auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(TOPIC, 0)])
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


async def _make_topic(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=[bootstrap])
    await admin.start()
    try:
        await admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


def test_kafka_keeps_what_it_acknowledged_through_a_kill_and_a_stop(local_kafka: LocalKafka) -> None:
    asyncio.run(_make_topic(local_kafka.bootstrap))
    for value, end in ((b"one", local_kafka.kill), (b"two", local_kafka.stop)):
        asyncio.run(_send(local_kafka.bootstrap, value))
        end()
        local_kafka.start()
        local_kafka.wait_ready()

    assert asyncio.run(_read(local_kafka.bootstrap, 2)) == [b"one", b"two"]


def test_kafka_runs_on_any_path_in_any_locale(state_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    broker = LocalKafka(state_folder / "kåfka, =\\:# 1")
    broker.start()
    try:
        broker.wait_ready()
        asyncio.run(_make_topic(broker.bootstrap))
    finally:
        broker.stop()


def test_postgres_keeps_what_it_committed_through_a_kill_and_a_stop(local_postgres: LocalPostgres) -> None:
    async def do(statement: str) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(local_postgres.url())
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    asyncio.run(do("CREATE TABLE kept (value int)"))
    for value, end in ((1, local_postgres.kill), (2, local_postgres.stop)):
        asyncio.run(do(f"INSERT INTO kept VALUES ({value})"))
        end()
        local_postgres.start()
        local_postgres.wait_ready()

    assert [row["value"] for row in asyncio.run(do("SELECT value FROM kept ORDER BY value"))] == [1, 2]


def test_postgres_asks_for_its_password(local_postgres: LocalPostgres) -> None:
    async def connect() -> None:
        await asyncpg.connect(host="127.0.0.1", port=local_postgres.port, user="postgres", password="wrong", database="postgres")

    with pytest.raises(asyncpg.InvalidPasswordError):
        asyncio.run(connect())


def test_a_pid_file_whose_number_belongs_to_another_program_is_no_hindrance(local_postgres: LocalPostgres) -> None:
    local_postgres.stop()
    (local_postgres.folder / "data" / "postmaster.pid").write_text(f"1\n{local_postgres.folder / 'data'}\n")

    local_postgres.start()

    local_postgres.wait_ready()


def test_known_jars_are_used_without_any_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jar = tmp_path / "kafka.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("empty", "")
    (tmp_path / jars.LIST).write_text(json.dumps([str(jar)]))
    monkeypatch.setattr("jgo.build", lambda *_, **__: pytest.fail("fetched"))

    assert jars.fetch_jars(tmp_path) == [jar]


def test_without_jars_and_network_the_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr("jgo.build", offline)

    with pytest.raises(Misconfigured, match="KAFKA_BOOTSTRAP_SERVERS"):
        jars.fetch_jars(tmp_path)


def test_a_jar_that_was_cut_off_is_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jar = tmp_path / "kafka.jar"
    jar.write_bytes(b"PK half of it")

    class Environment:
        all_jars = (jar,)

    def build(*_: object, update: bool = False, **__: object) -> Environment:
        if update and not jar.exists():
            with zipfile.ZipFile(jar, "w") as archive:
                archive.writestr("empty", "")
        return Environment()

    monkeypatch.setattr("jgo.build", build)
    said: list[str] = []

    assert jars.fetch_jars(tmp_path, said.append) == [jar]
    assert "about 45 MB" in said[0]
