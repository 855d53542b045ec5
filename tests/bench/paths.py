"""The consume path against raw getmany, and Kafka to HTTP against two baselines, on the same topic in the same run."""

import asyncio
import multiprocessing
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import httpx
from aiohttp import web
from aiokafka import AIOKafkaConsumer
from faststream import FastStream
from faststream.kafka import KafkaBroker
from httpx_aiohttp import AiohttpTransport

from deploy.local.processes import free_port
from shared.delivery import DeliveryEngine, Producer, Record, subscribe
from shared.kafka import apply_topics
from shared.outcomes import Done, Outcomes, Stage, Status
from shared.settings import ServiceSettings
from shared.topics import Topic
from tests.corpus import corpus

TOPIC = Topic("bench.documents.v1", "records of the corpus", "patient", 1)
CONSUMED = 60_000
SENT = 3_000
IN_FLIGHT = 32
GIVE_UP_SECONDS = 30.0
DONE = [Done(Status.CREATED)]


class NoRecorder:
    """Records nothing."""

    async def record(self, record: Record, outcomes: Outcomes, *, attempt: int, duration_ms: int) -> None:
        """Nothing to do."""


async def fill(bootstrap: str) -> None:
    """Write the corpus over and over until the topic holds enough."""
    await apply_topics([bootstrap], [TOPIC])
    documents = list(corpus(3000))
    producer = Producer([bootstrap], name="bench", deadline_seconds=120)
    await producer.start()
    for start in range(0, CONSUMED, 2000):
        chosen = [documents[(start + index) % len(documents)] for index in range(2000)]
        await producer.send_all([(TOPIC.name, one.person.mrn.encode(), one.content, []) for one in chosen])
    await producer.stop()


async def raw(bootstrap: str) -> float:
    """Records a second by getmany alone."""
    consumer = AIOKafkaConsumer(TOPIC.name, bootstrap_servers=bootstrap, auto_offset_reset="earliest", max_partition_fetch_bytes=262_144)
    await consumer.start()
    seen, began = 0, time.perf_counter()
    while seen < CONSUMED:
        for records in (await consumer.getmany(timeout_ms=1000)).values():
            seen += len(records)
    rate = seen / (time.perf_counter() - began)
    await consumer.stop()
    return rate


async def ours(bootstrap: str, wanted: int, group: str, send: Callable[[Record], Awaitable[Any]] | None = None) -> tuple[float, float]:
    """Records a second and CPU milliseconds for each, through the delivery engine."""
    seen, began, ended = 0, 0.0, asyncio.Event()

    async def handler(record: Record) -> Outcomes:
        nonlocal seen, began
        began = began or time.perf_counter()
        if send:
            await send(record)
        seen += 1
        if seen >= wanted:
            ended.set()
        return DONE

    settings = ServiceSettings(workers=IN_FLIGHT)
    engine = DeliveryEngine(stage=Stage.WRITER, handler=handler, recorder=NoRecorder(), settings=settings)
    broker = KafkaBroker([bootstrap], logger=None)
    subscribe(broker, topics=[TOPIC.name], group=group, engine=engine, settings=settings)
    app = FastStream(broker, logger=None)
    used = time.process_time()
    await app.start()
    await ended.wait()
    rate, used = seen / (time.perf_counter() - began), time.process_time() - used
    await app.stop()
    return rate, 1000 * used / wanted


def serve(port: int) -> None:
    """The platform's stub: takes everything."""

    async def put(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=201)

    app = web.Application(client_max_size=1 << 26)
    app.router.add_put("/{name}", put)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


async def with_transport(bootstrap: str, url: str) -> tuple[float, float]:
    """The engine with the writer's transport."""
    async with httpx.AsyncClient(transport=AiohttpTransport(), base_url=url) as client:

        async def send(record: Record) -> None:
            (await client.put(f"/{record.offset}", content=record.value or b"")).raise_for_status()

        return await ours(bootstrap, SENT, "bench.ours.http", send)


async def faststream_default(bootstrap: str, url: str) -> tuple[float, float]:
    """FastStream as it comes, one by one, with stock httpx."""
    seen, began, ended = 0, 0.0, asyncio.Event()
    broker = KafkaBroker([bootstrap], logger=None)
    async with httpx.AsyncClient(base_url=url) as client:

        @broker.subscriber(TOPIC.name, group_id="bench.faststream", auto_offset_reset="earliest", decoder=_as_is)
        async def on_document(body: bytes) -> None:
            nonlocal seen, began
            began = began or time.perf_counter()
            await client.put("/x", content=body)
            seen += 1
            if seen >= SENT:
                ended.set()

        app = FastStream(broker, logger=None)
        used = time.process_time()
        await app.start()
        await asyncio.wait([asyncio.create_task(ended.wait())], timeout=GIVE_UP_SECONDS)
        rate, used = seen / (time.perf_counter() - began), time.process_time() - used
        await app.stop()
    return rate, 1000 * used / max(seen, 1)


async def _as_is(message: Any) -> bytes:
    body: bytes = message.body
    return body


async def raw_aiohttp(bootstrap: str, url: str) -> tuple[float, float]:
    """getmany and aiohttp, many at once, no order, no guards."""
    consumer = AIOKafkaConsumer(TOPIC.name, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    room = asyncio.Semaphore(IN_FLIGHT)
    seen, began, used = 0, time.perf_counter(), time.process_time()
    async with aiohttp.ClientSession() as session:

        async def send(value: bytes) -> None:
            async with room, session.put(f"{url}/x", data=value) as answer:
                await answer.read()

        while seen < SENT:
            batches = await consumer.getmany(timeout_ms=1000, max_records=500)
            values = [one.value for records in batches.values() for one in records]
            await asyncio.gather(*(send(one) for one in values))
            seen += len(values)
    rate, used = seen / (time.perf_counter() - began), time.process_time() - used
    await consumer.stop()
    return rate, 1000 * used / seen


def measure(bootstrap: str) -> dict[str, tuple[float, float]]:
    """All paths, one after the other: records a second, CPU milliseconds for each."""
    asyncio.run(fill(bootstrap))
    raw_rates, our_rates = [], []
    for turn in range(3):  # in turn, so that a busy moment hits both
        raw_rates.append(asyncio.run(raw(bootstrap)))
        our_rates.append(asyncio.run(ours(bootstrap, CONSUMED, f"bench.consume.{turn}"))[0])
    port = free_port()
    stub = multiprocessing.get_context("spawn").Process(target=serve, args=(port,), daemon=True)
    stub.start()
    url = f"http://127.0.0.1:{port}"
    _await_stub(url)
    try:
        return {
            "getmany": (sorted(raw_rates)[1], 0.0),
            "engine": (sorted(our_rates)[1], 0.0),
            "engine, httpx-aiohttp, order kept": asyncio.run(with_transport(bootstrap, url)),
            "FastStream default, stock httpx": asyncio.run(faststream_default(bootstrap, url)),
            "raw aiokafka, aiohttp, no order": asyncio.run(raw_aiohttp(bootstrap, url)),
        }
    finally:
        stub.terminate()
        stub.join()


def _await_stub(url: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            httpx.put(f"{url}/x", content=b"", trust_env=False)
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise TimeoutError("the stub does not answer")
