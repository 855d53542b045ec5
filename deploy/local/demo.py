"""The demo: publish documents into the running system and wait until every one has its terminal outcome."""

import asyncio
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.local.runtime import Runtime
from services.audit.demo_report import demo_report
from services.ingest.publishing import publish_paths
from shared.errors import Unavailable

PAUSE_SECONDS = (0.2, 2.0)  # between looks: a tenth of what a look takes, within these
PATIENCE_SECONDS = 300.0  # without any progress for so long, the demo stops waiting and shows what it has


async def run_demo(paths: list[Path], runtime: Runtime, console: Console) -> dict[str, Any]:
    """The report, with `seconds`, `dashboard_url` and `unreadable` added. Raises Unavailable when Kafka stays away."""
    began = time.monotonic()
    kafka, database = runtime.environment["KAFKA_BOOTSTRAP_SERVERS"], runtime.environment["DATABASE_URL"]
    files = sum(1 for path in paths for file in (path.rglob("*") if path.is_dir() else (path,)) if file.is_file())
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        sending = progress.add_task("published", total=files)
        finishing = progress.add_task("finished ", total=files)
        published = await publish_paths(
            paths,
            bootstrap=kafka,
            content_url=runtime.environment["CONTENT_STORE_URL"],
            on_published=lambda count: progress.update(sending, completed=count),
        )
        for bar in (sending, finishing):
            progress.update(bar, total=published.count)
        report = await _wait(database, kafka, published.events, lambda done: progress.update(finishing, completed=done))
    return report | {
        "seconds": round(time.monotonic() - began, 2),
        "dashboard_url": runtime.dashboard_url,
        "unreadable": published.skipped,
    }


async def _wait(database: str, kafka: str, events: list[str], on_progress: Any) -> dict[str, Any]:
    """The report once nothing is in flight, or when nothing has moved for long."""
    last: object = None
    moved = time.monotonic()
    while True:
        began = time.monotonic()
        try:
            report = await demo_report(database, kafka, events)
        except Unavailable:  # a part is being started again
            if began - moved > PATIENCE_SECONDS:
                raise
            await asyncio.sleep(PAUSE_SECONDS[1])
            continue
        state = (report["in_flight"], len(report["rows"]))
        if state != last:
            last, moved = state, began
        on_progress(max(0, len(events) - report["in_flight"]))
        if report["in_flight"] == 0 or began - moved > PATIENCE_SECONDS:
            return report
        shortest, longest = PAUSE_SECONDS
        await asyncio.sleep(min(longest, max(shortest, (time.monotonic() - began) / 10)))
