"""`up` and `demo`: the whole system on this machine."""

import asyncio
import errno
import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.text import Text

from deploy.local.home import Home, disk_sentence
from deploy.local.report import print_report
from deploy.local.runtime import Runtime
from deploy.local.screen import PlainScreen, make_screen
from deploy.local.settings import read_settings
from deploy.local.system import INTERRUPTED, Body, run_system
from shared.errors import Misconfigured, Unavailable

SAMPLES = Path(__file__).with_name("samples")
EXIT_OK, EXIT_TROUBLE = 0, 1
JSON_KEYS = ("published", "received", "duplicates", "quarantined", "outcomes", "in_flight", "books_balanced", "seconds", "dashboard_url")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(demo)


def up() -> None:
    """Run the whole system on this machine until Ctrl-C."""
    screen = make_screen(_console())
    reached: list[int] = []

    async def stay(runtime: Runtime) -> int:
        reached.append(EXIT_OK)
        _say_addresses(screen, runtime)
        await asyncio.Event().wait()
        return EXIT_OK

    raise typer.Exit(_run(screen, stay, reached))


def demo(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="files and folders; each first-level folder is a provider of its own (default: the project's samples)"),
    ] = None,
    leave: Annotated[bool, typer.Option("--exit", help="leave when every document has its outcome")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the report as one JSON object")] = False,
) -> None:
    """Start the system, publish documents, wait until each has its outcome, show what became of them."""
    from deploy.local.demo import run_demo  # needs code of the services; `up` does not

    wanted = paths or [SAMPLES]
    for path in wanted:
        if not path.exists():
            raise typer.BadParameter(f"{path}: no such file or folder", param_hint="PATH")
    console = _console()
    screen = make_screen(console)
    reached: list[int] = []

    async def show(runtime: Runtime) -> int:
        screen.settle()
        report = await run_demo(wanted, runtime, console)
        _print(report, as_json)
        reached.append(EXIT_OK if report["books_balanced"] and not report["in_flight"] else EXIT_TROUBLE)
        if not leave:
            _say_addresses(screen, runtime)
            await asyncio.Event().wait()
        return reached[0]

    raise typer.Exit(_run(screen, show, reached))


def _console() -> Console:
    """What is not the result goes to standard error."""
    return Console(stderr=True, highlight=False)


def _run(screen: PlainScreen, body: Body, reached: list[int]) -> int:
    """Run the system around a body; a signal keeps the exit code that was reached, troubles become a sentence and exit code 1."""
    home = None
    try:
        settings = read_settings()
        home = settings.healthcare_records_home.resolve()
        with Home.open(home, screen.say) as owned:
            code = asyncio.run(run_system(owned, settings, screen, body))
            return reached[0] if code == INTERRUPTED and reached else code
    except (Misconfigured, Unavailable) as error:
        return _fail(screen, str(error))
    except OSError as error:
        if error.errno == errno.ENOSPC and home:
            return _fail(screen, disk_sentence(home))
        return _fail(screen, f"the system stopped: {error.strerror or type(error).__name__} ({error.filename or 'no file'})")


def _fail(screen: PlainScreen, sentence: str) -> int:
    screen.settle()
    screen.console.print(Text.assemble(("  ✗ ", "bold red"), sentence), soft_wrap=True)
    return EXIT_TROUBLE


def _print(report: dict[str, Any], as_json: bool) -> None:
    """The report on standard output."""
    if as_json:
        sys.stdout.write(orjson.dumps({key: report[key] for key in JSON_KEYS}).decode() + "\n")
        sys.stdout.flush()
    else:
        print_report(report)


def _say_addresses(screen: PlainScreen, runtime: Runtime) -> None:
    """Where to look."""
    ours = runtime.addresses
    places = {
        "dashboard": runtime.dashboard_url,
        "chart": f"{ours['sandbox']}/" if "sandbox" in ours else "",
        "documents": f"POST {ours['ingest']}/v1/documents",
        "Kafka": runtime.environment["KAFKA_BOOTSTRAP_SERVERS"],
    }
    screen.say("")
    for name, place in places.items():
        if place:
            screen.say(f"{name:<11}{place}")
    screen.say("\n  running; Ctrl-C stops everything")
