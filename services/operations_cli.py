"""Commands of operations: topics, schema, running one service."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console

from shared.kafka import apply_topics
from shared.postgres.migrations import migrate as run_migrations
from shared.settings import PlatformSettings

console = Console(stderr=True, highlight=False)


def register(app: typer.Typer, services: dict[str, str]) -> None:
    """Add the commands. `services` are the names that `serve` takes, with their modules."""
    topics = typer.Typer(help="Topics of Kafka.", no_args_is_help=True)
    topics.command("apply")(topics_apply)
    topics.callback()(lambda: None)  # a group even with one command
    app.add_typer(topics, name="topics")
    app.command()(migrate)

    @app.command()
    def serve(name: Annotated[str, typer.Argument(help=", ".join(services))]) -> None:
        """Run one service until SIGTERM."""
        raise typer.BadParameter(f"{name} is none of {', '.join(services)}", param_hint="NAME")


def topics_apply() -> None:
    """Create missing topics, check the others; never shrinks, refuses a changed partition count."""
    for change in asyncio.run(apply_topics(PlatformSettings().bootstrap)):
        console.print(f"{change.topic}: {change.what}")


def migrate() -> None:
    """Bring the database schema up to date."""
    console.print("schema is at " + ", ".join(run_migrations(PlatformSettings().database_url)))
