"""`make bench`: measures on this machine and writes docs/performance.md. Figures side by side, never an assertion."""

import argparse
import os
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from services.normalizer.reading import read_content
from shared.canonical.reading import ProviderProfile
from tests.bench.paths import measure
from tests.bench.way import Figure, Way, stages_alone, whole_way
from tests.corpus import corpus
from tests.e2e.stack import Stack

REPORT = Path(__file__).parents[2] / "docs" / "performance.md"


def pure() -> dict[str, float]:
    """Documents a second of the pure function, by kind, on one core."""
    profile, rates = ProviderProfile("bench"), {}
    for kind in ("oru", "mdm", "fhir", "ccda"):
        contents = [one.content for one in corpus(2000) if one.kind == kind]
        best = 0.0
        for _ in range(3):
            began = time.perf_counter()
            for content in contents:
                read_content(content, profile)
            best = max(best, len(contents) / (time.perf_counter() - began))
        rates[kind] = best
    return rates


def main() -> None:
    """Measure everything and write the report."""
    options = argparse.ArgumentParser(prog="python -m tests.bench")
    options.add_argument("--documents", type=int, default=3000)
    documents = options.parse_args().documents
    busy = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="healthcare-records-bench-", ignore_cleanup_errors=True) as folder:
        print("the pure function …", flush=True)
        pure_rates = pure()
        print("paths and baselines …", flush=True)
        with Stack(Path(folder) / "paths", services=()) as stack:
            paths = measure(stack.bootstrap)
        print(f"each stage alone on {documents} documents …", flush=True)
        stages = stages_alone(Path(folder) / "stages", documents)
        print(f"the whole way on {documents} documents …", flush=True)
        way = whole_way(Path(folder) / "way", documents)
    text = report(documents, busy, pure_rates, paths, stages, way)
    REPORT.write_text(text, "utf-8")
    print(text)


def report(
    documents: int, busy: float, pure_rates: dict[str, float], paths: dict[str, tuple[float, float]], stages: list[Figure], way: Way
) -> str:
    """The page."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    lines = [
        "# Performance\n",
        f"Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores, {memory} GiB, everything on one machine, load average {busy:.1f} at the start.",
        f"Corpus: {documents} synthetic documents (half ORU, a quarter MDM, an eighth each of FHIR bundles and C-CDA), 500 patients.\n",
        "## The whole way\n",
        f"**{way.rate:.0f} documents/s** from published to the last row of the log, with Kafka, PostgreSQL and the sandbox on the same cores.",
        f"At half of that ({way.half_rate:.0f}/s): p50 {way.p50_ms:.0f} ms, p99 {way.p99_ms:.0f} ms from published to applied.\n",
        "| process | CPU for each document (ms) | CPU at rest (% of a core) | memory at rest (MiB) |",
        "|---|---|---|---|",
    ]
    for name, used in way.cpu_ms.items():
        idle, rest = way.idle_percent.get(name), way.idle_mib.get(name)
        lines.append(f"| {name} | {used:.2f} | {'' if idle is None else f'{idle:.1f}'} | {'' if rest is None else f'{rest:.0f}'} |")
    lines += [
        f"\nTogether {sum(way.cpu_ms.values()):.2f} ms of CPU for each document: the two cores are what limits the whole way.\n",
        "## Each stage alone\n",
        "| stage | outcomes/s | CPU for each (ms) | memory, highest (MiB) |",
        "|---|---|---|---|",
        *(f"| {one.name} | {one.rate:.0f} | {one.cpu_ms:.2f} | {one.memory_mib:.0f} |" for one in stages),
        "\nA writer outcome is a patient's snapshot or a document; audit counts rows. Kafka, PostgreSQL and the sandbox share the cores.\n",
        "## Paths and baselines, same run\n",
        "| path | records/s | CPU for each (ms) |",
        "|---|---|---|",
        *(f"| {name} | {rate:.0f} | {f'{used:.2f}' if used else ''} |" for name, (rate, used) in paths.items()),
        f"\nThe engine reaches {paths['engine'][0] / paths['getmany'][0]:.2f} of raw `getmany` with a handler that does nothing (median of three turns).",
        f"Kafka to HTTP, with the order of each patient kept and commits behind finished work: {paths['engine, httpx-aiohttp, order kept'][0] / paths['FastStream default, stock httpx'][0]:.1f} × FastStream's defaults with stock httpx,",
        f"{paths['engine, httpx-aiohttp, order kept'][0] / paths['raw aiokafka, aiohttp, no order'][0]:.2f} of raw aiohttp without any order or guard.\n",
        "## The pure function, one core\n",
        "| input | documents/s |",
        "|---|---|",
        *(f"| {name} | {rate:.0f} |" for name, rate in pure_rates.items()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
