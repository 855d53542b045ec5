"""What the writer's commands share: options, what they open, how they print. At most 100 columns."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
import typer
from rich.console import Console

from services.carepatron_writer.destinations import open_platforms
from services.carepatron_writer.platforms.port import Platform
from shared.delivery import Producer
from shared.errors import Unavailable
from shared.postgres import open_pool
from shared.providers import load_directory
from shared.settings import PlatformSettings

EXIT_TROUBLE = 1
WIDTH = 100
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
DestinationOption = Annotated[str | None, typer.Option(help="Destination id.")]
PatientOption = Annotated[UUID | None, typer.Option(help="Patient key.")]
ProviderOption = Annotated[str | None, typer.Option(help="Provider id.")]
SinceOption = Annotated[datetime | None, typer.Option(help="Written at or after.")]
UntilOption = Annotated[datetime | None, typer.Option(help="Written before.")]


@asynccontextmanager
async def open_database() -> AsyncIterator[Any]:
    """A pool for one command."""
    pool = await open_pool(PlatformSettings().database_url, application_name="healthcare-records-writer", max_size=4)
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def open_accounts() -> AsyncIterator[Mapping[str, Platform]]:
    """The adapters of all destinations."""
    settings = PlatformSettings()
    async with AsyncExitStack() as stack:
        opened = open_platforms(load_directory(settings.providers_file, settings.clinics_file))
        for one in opened.values():
            stack.push_async_callback(one.aclose)
        yield opened


@asynccontextmanager
async def open_producer() -> AsyncIterator[Producer]:
    """A producer for one command."""
    producer = Producer(PlatformSettings().bootstrap, name="writer-cli")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


def run_work(work: Any) -> Any:
    """Run to the end; an outage is a sentence and exit code 1."""
    try:
        return asyncio.run(work)
    except Unavailable as error:
        Console(stderr=True).print(f"{error}. Is the system running?", highlight=False, markup=False)
        raise typer.Exit(EXIT_TROUBLE) from error


def console_of() -> Console:
    """At most 100 columns, whatever the terminal."""
    console = Console(highlight=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    return console


def print_json(value: Any) -> None:
    """One JSON object on standard output."""
    typer.echo(orjson.dumps(value, default=str).decode())


def yes_or_no(value: bool) -> str:
    """A word for people."""
    return "yes" if value else "no"


def text_of(key: UUID | None) -> str | None:
    """A key as text."""
    return None if key is None else str(key)


def moment_of(local: datetime | None) -> datetime | None:
    """A time as typed: of this machine's zone where it names none."""
    return None if local is None else local.astimezone()
