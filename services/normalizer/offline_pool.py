"""Many files at once: as many reading processes as there are cores; lines come in the order of the files; no file stops the others."""

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from services.normalizer.offline import as_json, normalize_file
from shared.canonical.reading import ProviderProfile, rejected
from shared.isolation import Defect, Isolated, Stopped
from shared.outcomes import Reason

AHEAD = 32  # files that a process may be ahead of the line that is printed
READ_SECONDS = 60.0
READ_MEMORY_BYTES = 4 << 30


def read_file(path: str, provider: ProviderProfile) -> list[bytes]:
    """What runs in the processes: the JSON lines of one file."""
    return [orjson.dumps(line) for line in normalize_file(Path(path), provider)]


def normalize_files(
    paths: Iterable[Path], provider: ProviderProfile, *, processes: int | None = None, seconds: float = READ_SECONDS
) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    """Each file with its readings, in the order of the paths. A file that hangs, or breaks its process, ends with a reason."""
    loop = asyncio.new_event_loop()
    found = _normalize(list(paths), provider, processes or cores(), seconds)
    try:
        while True:
            try:
                yield loop.run_until_complete(anext(found))
            except StopAsyncIteration:
                return
    finally:
        loop.run_until_complete(found.aclose())
        loop.close()


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


async def _normalize(
    paths: list[Path], provider: ProviderProfile, processes: int, seconds: float
) -> AsyncGenerator[tuple[Path, list[dict[str, Any]]]]:
    readers = [Isolated(read_file, seconds=seconds, memory_bytes=READ_MEMORY_BYTES) for _ in range(min(processes, len(paths)))]
    free: asyncio.Queue[Isolated[list[bytes]]] = asyncio.Queue()
    for one in readers:
        free.put_nowait(one)
    running: list[asyncio.Task[list[dict[str, Any]]]] = []
    waiting = iter(paths)
    try:
        for path in paths:
            while len(running) < AHEAD * len(readers) and (further := next(waiting, None)) is not None:
                running.append(asyncio.create_task(_read(further, provider, free)))
            yield path, await running.pop(0)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for one in readers:
            await one.aclose()


async def _read(path: Path, provider: ProviderProfile, free: asyncio.Queue[Isolated[list[bytes]]]) -> list[dict[str, Any]]:
    reader = await free.get()
    try:
        return [orjson.loads(line) for line in await reader(str(path), provider)]
    except Stopped:
        return [_given_up(path, Reason.PARSE_TIMEOUT)]
    except Defect:
        return [_given_up(path, Reason.DEFECT)]
    finally:
        free.put_nowait(reader)


def _given_up(path: Path, reason: Reason) -> dict[str, Any]:
    return {"input": str(path), "index": 0, **as_json(rejected("unknown", reason))}
