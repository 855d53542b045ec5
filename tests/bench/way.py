"""Each stage alone, the whole way, latency at half load, and rest: the real services on the deterministic corpus."""

import asyncio
import re
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import httpx

from shared.delivery import Producer
from shared.events import EventType, new_event, write_headers
from shared.topics import PUBLISHED
from tests.bench.processes import cpu_seconds, memory_mib
from tests.corpus import Document, corpus
from tests.e2e.stack import SERVICES, Stack

STAGES = ("ingest", "normalizer", "writer", "audit")
COUNTER = re.compile(r"^healthcare_records_outcomes_total\{.*\} (\S+)$", re.MULTILINE)
QUIET_SECONDS = 2.0
IDLE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One stage: items a second, CPU for each, memory."""

    name: str
    rate: float
    cpu_ms: float
    memory_mib: float


def stages_alone(folder: Path, documents: int) -> list[Figure]:
    """Publish everything, then let one service after the other work off its topic."""
    with Stack(folder, services=()) as stack:
        stack.publish(list(corpus(documents)))
        figures = []
        for name in STAGES:
            stack.start(name)
            figures.append(_work_off(stack, name, documents))
            stack.parts[name].stop()
        return figures


def _work_off(stack: Stack, name: str, documents: int) -> Figure:
    """From ready to the last outcome counted; joining the group counts, starting the process does not."""
    child = stack.parts[name].child
    assert child is not None
    began = last = (time.perf_counter(), 0.0, cpu_seconds(child.pid))
    while not last[1] or time.perf_counter() - last[0] < QUIET_SECONDS:
        count = _count(stack, name)
        if count > last[1]:
            last = (time.perf_counter(), count, cpu_seconds(child.pid))
        time.sleep(0.05)
    return Figure(name, last[1] / (last[0] - began[0]), 1000 * (last[2] - began[2]) / last[1], memory_mib(child.pid, "VmHWM"))


def _count(stack: Stack, name: str) -> float:
    """Outcomes recorded by a service so far; rows of the log for audit."""
    if name == "audit":
        return float(stack.rows("SELECT count(*) AS count FROM synchronization_log")[0]["count"])
    text = httpx.get(f"{stack.url(name)}/metrics", trust_env=False).text
    return sum(float(one) for one in COUNTER.findall(text))


@dataclass(frozen=True, slots=True)
class Way:
    """The whole way: documents a second, CPU milliseconds for each by process, latency, rest."""

    rate: float
    cpu_ms: dict[str, float]
    half_rate: float
    p50_ms: float
    p99_ms: float
    idle_percent: dict[str, float]
    idle_mib: dict[str, float]


def whole_way(folder: Path, documents: int) -> Way:
    """Everything on; publish at once, then at half of the measured rate, then rest."""
    with Stack(folder) as stack:
        stack.settle(stack.publish(list(corpus(500, seed=5))))  # warm
        pids = {name: one.child.pid for name, one in stack.parts.items() if one.child and one.returncode is None}
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        began = time.time()
        ids = stack.publish(list(corpus(documents, seed=6)), provider="whole")
        _until_quiet(stack)
        stack.settle(ids, seconds=900)
        (row,) = stack.rows(
            "SELECT extract(epoch FROM max(\"timestamp\"))::float8 AS ended FROM synchronization_log WHERE provider = 'whole'"
        )
        used = {name: 1000 * (cpu_seconds(pid) - before[name]) / documents for name, pid in pids.items()}
        rate = documents / (row["ended"] - began)
        p50, p99 = _latency(stack, rate / 2)
        idle_before = {name: cpu_seconds(pids[name]) for name in SERVICES}
        time.sleep(IDLE_SECONDS)
        idle = {name: 100 * (cpu_seconds(pids[name]) - idle_before[name]) / IDLE_SECONDS for name in SERVICES}
        return Way(rate, used, rate / 2, p50, p99, idle, {name: memory_mib(pids[name]) for name in SERVICES})


def _until_quiet(stack: Stack) -> None:
    """Wait until the writer has recorded nothing new for a while; asks little of the machine meanwhile."""
    last, since = -1.0, time.perf_counter()
    while time.perf_counter() - since < 2 * QUIET_SECONDS:
        count = _count(stack, "writer")
        if count != last:
            last, since = count, time.perf_counter()
        time.sleep(0.5)


async def _steady(stack: Stack, documents: list[Document], rate: float) -> dict[str, float]:
    """Publish at a steady rate, a slice every tenth of a second; returns when each event was sent."""
    producer = Producer([stack.bootstrap], name="bench")
    await producer.start()
    size, sent, began = max(1, int(rate / 10)), {}, time.perf_counter()
    for index, start in enumerate(range(0, len(documents), size)):
        await asyncio.sleep(max(0.0, began + index / 10 - time.perf_counter()))
        items = []
        for one in documents[start : start + size]:
            event = new_event(EventType.DOCUMENT_PUBLISHED, one.content, providerid="steady")
            items.append((PUBLISHED.name, one.person.mrn.encode(), one.content, write_headers(event)))
            sent[event.id] = time.time()
        await producer.send_all(items)
    await producer.stop()
    return sent


def _latency(stack: Stack, rate: float) -> tuple[float, float]:
    """p50 and p99 in milliseconds from published to applied, at a steady rate for 15 seconds."""
    sent = asyncio.run(_steady(stack, list(corpus(int(rate * 15), seed=9)), rate))
    _until_quiet(stack)
    stack.settle(list(sent))
    rows = stack.rows(
        """SELECT correlation_id, extract(epoch FROM "timestamp")::float8 AS applied FROM synchronization_log
        WHERE provider = 'steady' AND stage = 'carepatron_writer' AND action = 'write_document'"""
    )
    waits = [1000 * (row["applied"] - sent[row["correlation_id"]]) for row in rows]
    cuts = quantiles(waits, n=100)
    return cuts[49], cuts[98]
