"""`python -m tests.bench.reading`: the pure function from bytes to a reading, on one core, beside the libraries that others use."""

import cProfile
import gc
import multiprocessing
import os
import pstats
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hl7
import orjson
from fhir.resources.R4B.bundle import Bundle

from services.ingest.core import take_in
from services.normalizer.offline import as_json
from services.normalizer.reading import read_content
from shared.canonical.reading import ProviderProfile
from tests.bench.inputs import bundle, report, summary
from tests.hostile import inputs

PAGE = Path(__file__).parents[2] / "docs" / "reading-performance.md"
PROVIDER = ProviderProfile("bench", time_zone="Europe/Stockholm")
ROUNDS = 7
MANY = 100_000
CHECKED = 10_000
SLOWEST = 8
PARTS = {
    "services/normalizer/readers": "readers: fields to facts",
    "shared/formats": "formats: bytes to trees",
    "services/normalizer/ledger": "loss ledger",
    "~": "C: lxml, orjson, dict, str",
}


def rate(function: Callable[[bytes], Any], contents: Sequence[bytes]) -> float:
    """Documents a second of CPU, the median of some rounds."""
    rates = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for one in contents:
            function(one)
        rates.append(len(contents) / (time.process_time() - began))
    return statistics.median(rates)


def ours(content: bytes) -> Any:
    """Bytes to a reading with its ledger."""
    return read_content(content, PROVIDER)


def printed(content: bytes) -> bytes:
    """The same, and its JSON line."""
    return orjson.dumps(as_json(read_content(content, PROVIDER)))


def with_hl7(content: bytes) -> dict[str, Any]:
    """The pipeline that one builds on `hl7`: parse, then take the patient, the order and each result apart."""
    message = hl7.parse(content.decode())
    pid, obr = message.segment("PID"), message.segment("OBR")
    patient = {
        "identifiers": [[str(part) for part in one] for one in pid[3]],
        "name": [str(one) for one in pid[5][0]],
        "birth_date": str(pid[7]),
        "gender": str(pid[8]),
    }
    results = []
    for obx in message.segments("OBX"):
        results.append(
            {
                "code": [str(one) for one in obx[3][0]],
                "value": message.unescape(str(obx[5])),
                "unit": [str(one) for one in obx[6][0]],
                "range": str(obx[7]),
                "status": str(obx[11]),
                "at": str(obx[14]),
            }
        )
    return {"patient": patient, "order": [str(one) for one in obr[4][0]], "results": results}


def with_fhir_resources(content: bytes) -> Any:
    """Parsing and validating alone, nothing mapped."""
    return Bundle.model_validate_json(content)


def memory(many: int, out: "multiprocessing.connection.Connection") -> None:
    """Peak memory of a process after some and after many documents, MiB."""
    kinds = [
        [report(number) for number in range(200)],
        [bundle(number) for number in range(40)],
        [summary(number, size=20_000) for number in range(20)],
    ]
    peaks = []
    for number in range(many + 1):
        some = kinds[0] if number % 10 else kinds[1 + number // 10 % 2]
        ours(some[number % len(some)])
        if number in (CHECKED, many):
            gc.collect()
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    out.send(peaks)


def hostile(group: str, at: int, out: "multiprocessing.connection.Connection") -> None:
    """Seconds and MiB that one bad input costs on top, light look and reading together, in a process of its own."""
    name, make = list(inputs.GROUPS[group]())[at]
    content = make()
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    taken = take_in(content, provider=PROVIDER, media_type=None, patient_key=None, max_parts=10_000)
    for part in taken if isinstance(taken, list) else []:
        read_content(part.content, PROVIDER, format=part.format)
    spent = time.process_time() - began
    out.send((name, len(content), spent, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))


def apart(function: Callable[..., None], *arguments: Any) -> Any:
    """What a function sends from a process of its own."""
    context = multiprocessing.get_context("forkserver")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=function, args=(*arguments, there))
    process.start()
    answer = here.recv()
    process.join()
    return answer


def main() -> None:
    """Measure, write the page, show it."""
    reports, bundles, summaries = [report(n) for n in range(500)], [bundle(n) for n in range(60)], [summary(n) for n in range(6)]
    rows = [
        ("ORU^R01", len(reports[0]), rate(ours, reports), rate(printed, reports), "a pipeline on `hl7`", rate(with_hl7, reports[:50])),
        (
            "FHIR bundle",
            len(bundles[0]),
            rate(ours, bundles),
            rate(printed, bundles),
            "`fhir.resources`, parsing alone",
            rate(with_fhir_resources, bundles[:20]),
        ),
        ("C-CDA", len(summaries[0]), rate(ours, summaries), rate(printed, summaries), "", 0.0),
    ]
    early, late = apart(memory, MANY)
    cases = [(group, at) for group, made in inputs.GROUPS.items() for at, _ in enumerate(made())]
    costs = [apart(hostile, group, at) for group, at in cases if group not in ("strings", "references", "dates", "types", "versions")]
    spent = {"ORU^R01": shares(reports), "FHIR bundle": shares(bundles), "C-CDA": shares(summaries)}
    text = page(rows, early, late, costs, spent)
    PAGE.write_text(text, "utf-8")
    print(text)


def shares(inputs_read: list[bytes]) -> dict[str, float]:
    """Where the time of reading goes, by part of the house, as the profiler sees it."""
    profiler = cProfile.Profile()
    for one in inputs_read:
        ours(one)
    profiler.enable()
    for one in inputs_read:
        ours(one)
    profiler.disable()
    stats: Any = pstats.Stats(profiler)
    spent = dict.fromkeys(PARTS.values(), 0.0)
    for (file, _, _), (_, _, own, _, _) in stats.stats.items():
        name = next((name for path, name in PARTS.items() if path in file), None)
        if name:
            spent[name] += own
    return {name: own / stats.total_tt for name, own in spent.items()}


def page(
    rows: list[tuple[str, int, float, float, str, float]],
    early: float,
    late: float,
    costs: list[tuple[str, int, float, float]],
    spent: dict[str, dict[str, float]],
) -> str:
    """The page."""
    version = ".".join(map(str, sys.version_info[:3]))
    slow, large = (sorted(costs, key=lambda one: -one[at])[:SLOWEST] for at in (2, 3))
    lines = [
        "# Reading performance\n",
        f"Written by `python -m tests.bench.reading` on {datetime.now(UTC):%Y-%m-%d}: one core of {os.cpu_count()}, Python {version}; CPU time, median of {ROUNDS} rounds.",
        "The pure function: bytes in, patients, documents, warnings and the loss ledger out.\n",
        "| input | bytes | readings/s | with the JSON line | baseline | baseline/s | ratio |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {name} | {size} | {made:.0f} | {line:.0f} | {other} | {f'{base:.0f}' if base else ''} | {f'{made / base:.0f}' if base else ''} |"
            for name, size, made, line, other, base in rows
        ),
        "\n## What limits each\n",
        "All of it is interpreted Python that makes values one element at a time; libraries in C (lxml, orjson) take the smaller part.\n",
        f"| input | {' | '.join(PARTS.values())} |",
        f"|---|{'---|' * len(PARTS)}",
        *(f"| {name} | {' | '.join(f'{one[part]:.0%}' for part in PARTS.values())} |" for name, one in spent.items()),
        f"\nMemory of one process: {early:.0f} MiB after {CHECKED:,} documents, {late:.0f} MiB after {MANY:,}.\n",
        f"## Bad input ({len(costs)} inputs, each in a process of its own)\n",
        "| slowest | bytes | CPU s |",
        "|---|---|---|",
        *(f"| {name} | {size} | {spent:.2f} |" for name, size, spent, _ in slow),
        "\n| most memory | bytes | MiB more |",
        "|---|---|---|",
        *(f"| {name} | {size} | {more:.0f} |" for name, size, _, more in large),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
