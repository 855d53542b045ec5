"""`up` and `demo`: the whole system on this machine."""

import asyncio
import signal
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.local.report import print_report
from deploy.local.runtime import Runtime, home_folder
from deploy.local.supervisor import Supervisor, Watched
from deploy.local.system import running_system
from services.audit.demo_report import demo_report
from services.ingest.publishing import PublishReport, publish_paths
from shared.errors import Misconfigured, Unavailable

SAMPLES = Path(__file__).with_name("samples")
WATCH_SECONDS = 0.2
SETTLE_SECONDS = 600.0  # without any progress for so long, a demo gives up
EXIT_TROUBLE = 1

console = Console(stderr=True, highlight=False)
MARKS = {"starting": "…", "running": "●", "down": "✗", "stopping": "…", "stopped": "○", "waiting": " "}


class _Stop(Exception):
    """SIGINT or SIGTERM."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(demo)


def up() -> None:
    """Run the whole system on this machine until Ctrl-C."""
    with _system() as (runtime, supervisor):
        _print_addresses(runtime)
        _watch_until_stopped(supervisor)


def demo(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="files and folders; each first-level folder is a provider (default: samples)")
    ] = None,
    leave: Annotated[bool, typer.Option("--exit", help="leave when every document has its outcome")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the report as one JSON object")] = False,
) -> None:
    """Start the system, publish documents, wait until each has its outcome, show what became of them."""
    wanted = paths or [SAMPLES]
    for path in wanted:
        if not path.exists():
            raise typer.BadParameter(f"{path}: no such file or folder", param_hint="PATH")
    with _system() as (runtime, supervisor):
        began = time.monotonic()
        published, report = _publish_and_wait(wanted, runtime, supervisor)
        report |= {"seconds": round(time.monotonic() - began, 2), "dashboard_url": runtime.dashboard_url}
        if as_json:
            sys.stdout.write(orjson.dumps({key: value for key, value in report.items() if key != "rows"}).decode() + "\n")
            sys.stdout.flush()
        else:
            print_report(report, published)
        _print_addresses(runtime)
        if not leave:
            _watch_until_stopped(supervisor)
    if not report["books_balanced"] or report["in_flight"]:
        raise typer.Exit(EXIT_TROUBLE)


@contextmanager
def _system() -> Any:
    """The running system; SIGINT and SIGTERM end the block, then everything stops in order."""
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, _raise_stop)
    try:
        with running_system(home_folder(), lambda text: console.print(f"  {text}"), _print_change) as running:
            yield running
    except _Stop:
        pass
    except Misconfigured as error:
        console.print(f"[bold red]✗[/] {error}")
        raise typer.Exit(EXIT_TROUBLE) from None
    except OSError as error:
        console.print(f"[bold red]✗[/] the system stopped: {error.strerror or type(error).__name__} ({error.filename or 'no file'})")
        raise typer.Exit(EXIT_TROUBLE) from None


def _raise_stop(*_: object) -> None:
    """Once: a second signal must not break the orderly stop."""
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)
    raise _Stop


def _print_change(one: Watched) -> None:
    """One status line for each change of a part."""
    pid = f" process {one.part.child.pid}" if one.state == "running" and one.part.child else ""
    note = f" {one.note}" if one.note else ""
    console.print(f"  {MARKS[one.state]} {one.name:<11}{one.state}{pid}{note}", soft_wrap=True)


def _print_addresses(runtime: Runtime) -> None:
    """Where to look."""
    console.print(f"\n  dashboard        {runtime.dashboard_url}")
    if runtime.chart_url:
        console.print(f"  chart (sandbox)  {runtime.chart_url}")
    console.print(f"  documents        POST http://127.0.0.1:{runtime.ports['ingest']}/v1/documents")
    console.print(f"  Kafka            {runtime.kafka_bootstrap_servers}\n")


def _watch_until_stopped(supervisor: Supervisor) -> None:
    """Look after the parts until a signal comes."""
    console.print("  running; Ctrl-C stops everything")
    while True:
        supervisor.check()
        time.sleep(WATCH_SECONDS)


def _publish_and_wait(paths: list[Path], runtime: Runtime, supervisor: Supervisor) -> tuple[PublishReport, dict[str, Any]]:
    """Publish, then watch the report until nothing is in flight."""
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with _looked_after(supervisor), Progress(*columns, console=console) as progress:
        sending = progress.add_task("published", total=None)
        published = asyncio.run(
            publish_paths(
                paths,
                bootstrap=runtime.kafka_bootstrap_servers,
                content_url=runtime.content_store_url,
                on_published=lambda count: progress.update(sending, completed=count),
            )
        )
        progress.update(sending, total=published.count, completed=published.count)
        finishing = progress.add_task("finished ", total=published.count)
        report = _wait(published, runtime, lambda done: progress.update(finishing, completed=done))
    return published, report


def _wait(published: PublishReport, runtime: Runtime, on_progress: Any) -> dict[str, Any]:
    """The report once nothing is in flight and the books balance, or when nothing moves any more."""
    moved_at, last = time.monotonic(), -1
    while True:
        try:
            report = asyncio.run(demo_report(runtime.database_url, runtime.kafka_bootstrap_servers, published.events))
        except Unavailable:
            time.sleep(WATCH_SECONDS)
            continue
        if report["in_flight"] != last:
            moved_at, last = time.monotonic(), report["in_flight"]
        on_progress(max(0, published.count - report["in_flight"]))
        if report["in_flight"] == 0 or time.monotonic() - moved_at > SETTLE_SECONDS:
            return report
        time.sleep(WATCH_SECONDS)


@contextmanager
def _looked_after(supervisor: Supervisor) -> Any:
    """Keep restarting what ends while the caller is busy."""
    stopped = threading.Event()

    def look() -> None:
        while not stopped.wait(WATCH_SECONDS):
            supervisor.check()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
