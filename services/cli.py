"""`healthcare-records`: puts together the commands that the services and deploy/local offer."""

import asyncio
import os
import sys
from importlib import import_module
from typing import Annotated

import typer
from rich.console import Console

import services.audit.cli
import services.ingest.cli
import services.ingest.replay_cli
import services.normalizer.cli
from deploy.local import cli as local
from deploy.local.runtime import environment, home_folder, read_runtime
from shared.errors import Misconfigured, Unavailable
from shared.kafka import apply_topics
from shared.postgres.migrations import migrate as run_migrations
from shared.settings import PlatformSettings

SERVICES = {
    "ingest": "services.ingest.app",
    "normalizer": "services.normalizer.app",
    "writer": "services.carepatron_writer.app",
    "audit": "services.audit.app",
    "sandbox": "services.carepatron_writer.sandbox_app",
}
EXIT_TROUBLE, EXIT_USAGE = 1, 2

app = typer.Typer(
    name="healthcare-records",
    help="Move patients' documents from their provider into the dietician's platform, and prove what became of each.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
topics = typer.Typer(help="Topics of Kafka.", no_args_is_help=True)
app.add_typer(topics, name="topics")
console = Console(stderr=True)


@topics.command("apply")
def topics_apply() -> None:
    """Create missing topics, check the others; never shrinks, refuses a changed partition count."""
    for change in asyncio.run(apply_topics(PlatformSettings().bootstrap)):
        console.print(f"{change.topic}: {change.what}", highlight=False)


@app.command()
def migrate() -> None:
    """Bring the database schema up to date."""
    heads = run_migrations(PlatformSettings().database_url)
    console.print("schema is at " + ", ".join(heads), highlight=False)


@app.command()
def serve(name: Annotated[str, typer.Argument(help="ingest, normalizer, writer, audit or sandbox")]) -> None:
    """Run one service until SIGTERM."""
    module = SERVICES.get(name)
    if module is None:
        raise typer.BadParameter(f"{name} is none of {', '.join(SERVICES)}", param_hint="NAME")
    raise typer.Exit(import_module(module).serve())


services.ingest.cli.register(app)
services.ingest.replay_cli.register(app)
services.normalizer.cli.register(app)
services.audit.cli.register(app)
local.register(app)


def main() -> None:
    """The entry point: finds the system running here, runs the command, turns known troubles into a sentence and an exit code."""
    if "serve" not in sys.argv[1:2]:
        running = read_runtime(home_folder())
        for name, value in (environment(running) if running else {}).items():
            os.environ.setdefault(name, value)
    try:
        app()
    except Misconfigured as error:
        console.print(str(error), highlight=False)
        sys.exit(EXIT_USAGE)
    except Unavailable as error:
        console.print(f"{error}. Is the system running? Start it with `healthcare-records up`.", highlight=False)
        sys.exit(EXIT_TROUBLE)


if __name__ == "__main__":
    main()
