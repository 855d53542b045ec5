"""`healthcare-records publish`: sends files to the topic that providers publish to."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from services.ingest.core import named_patient
from services.ingest.publishing import PublishReport, publish_paths
from services.ingest.settings import Settings

FOUND_TROUBLE = 1
USAGE = 2


def register(app: typer.Typer) -> None:
    """Add the commands of ingest to the command line."""
    app.command("publish")(publish)


def publish(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Files or folders; - reads one document from standard input.")],
    provider: Annotated[
        str | None, typer.Option(help="Provider id of all files; without it each first-level folder is a provider of its own.")
    ] = None,
    patient: Annotated[str | None, typer.Option(help="Patient key (a UUID) for documents that do not name their patient.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Publish documents and wait until the broker has acknowledged every one of them. Exit 1 when something could not be published.

    Hidden files and the documentation of a folder (SOURCES, README, LICENSE, NOTICE, CHANGELOG, COPYING at its top) are left out.
    """
    console = Console(stderr=True)
    if patient is not None and named_patient(patient) is None:
        console.print("--patient takes a patient key: a UUID, never a name or a number of the patient")
        raise typer.Exit(USAGE)
    platform = Settings().platform
    with Progress(console=console, transient=True, disable=as_json) as progress:
        task = progress.add_task("publishing", total=None)
        report = asyncio.run(
            publish_paths(
                paths,
                bootstrap=platform.kafka_bootstrap_servers,
                content_url=platform.content_url,
                provider=provider,
                patient=named_patient(patient),
                on_published=lambda count: progress.update(task, completed=count),
            )
        )
    _show(report, console, as_json)
    raise typer.Exit(FOUND_TROUBLE if report.skipped or not report.count else 0)


def _show(report: PublishReport, console: Console, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"published": report.count, "events": report.events, "skipped": report.skipped, "ignored": report.ignored}))
        return
    console.print(f"published {report.count}")
    for line in report.skipped + report.ignored:
        console.print(f"left out  {line}", highlight=False, markup=False)
