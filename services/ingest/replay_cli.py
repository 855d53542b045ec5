"""`healthcare-records replay`: resync by topic and time, provider, patient, document or reason."""

import asyncio
import json
from datetime import datetime
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from services.ingest.replay import ReplayReport, Selection, replay
from services.ingest.settings import Settings
from shared.delivery import Producer
from shared.outcomes import Reason
from shared.postgres import open_pool
from shared.topics import RECEIVED

FOUND_TROUBLE = 1


def register(app: typer.Typer) -> None:
    """Add the command; `sync` is its other name."""
    app.command("replay")(replay_documents)
    app.command("sync", hidden=True)(replay_documents)


def replay_documents(
    topic: Annotated[str, typer.Option(help="Topic to replay.")] = RECEIVED.name,
    provider: Annotated[str | None, typer.Option(help="Only this provider's documents.")] = None,
    patient: Annotated[UUID | None, typer.Option(help="Only this patient (patient key).")] = None,
    document: Annotated[UUID | None, typer.Option(help="Only this document (document id).")] = None,
    reason: Annotated[Reason | None, typer.Option(help="Only what ended at the normalizer for this reason.")] = None,
    since: Annotated[str | None, typer.Option(help="Received at or after (ISO 8601; local zone when none is given).")] = None,
    until: Annotated[str | None, typer.Option(help="Received before.")] = None,
    partition: Annotated[int | None, typer.Option(min=0, help="Only this partition.")] = None,
    start: Annotated[int | None, typer.Option("--from-offset", min=0, help="From this offset on.")] = None,
    end: Annotated[int | None, typer.Option("--to-offset", min=0, help="Up to this offset, excluded.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only, send nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Send received documents again. The platform changes only where it differs; live documents go first.

    Exit 1 when bytes that were asked for are no longer in Kafka.
    """
    if topic != RECEIVED.name:
        raise typer.BadParameter(f"only {RECEIVED.name} can be replayed: it holds every document as it was received", param_hint="--topic")
    selection = Selection(
        provider=provider,
        patient=str(patient) if patient else None,
        document=str(document) if document else None,
        reason=reason.value if reason else None,
        since_ms=_milliseconds(since, "--since"),
        until_ms=_milliseconds(until, "--until"),
        partition=partition,
        start=start,
        end=end,
    )
    report = asyncio.run(_run(selection, Settings(), dry_run))
    if as_json:
        typer.echo(json.dumps({**report.as_json(), "dry_run": dry_run}))
    else:
        _show(report, dry_run)
    raise typer.Exit(FOUND_TROUBLE if report.gone else 0)


async def _run(selection: Selection, settings: Settings, dry_run: bool) -> ReplayReport:
    """Open what is needed and replay."""
    platform = settings.platform
    pool = await open_pool(platform.database_url, application_name="healthcare-records-replay", max_size=1)
    producer = Producer(platform.bootstrap, name="replay")
    try:
        if dry_run:
            return await replay(selection, platform.bootstrap, pool, None)
        await producer.start()
        return await replay(selection, platform.bootstrap, pool, producer)
    finally:
        await producer.stop()
        await pool.close()


def _milliseconds(text: str | None, option: str) -> int | None:
    """A moment as Kafka counts it."""
    if text is None:
        return None
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except ValueError as error:
        raise typer.BadParameter(f"{text} is no ISO 8601 time", param_hint=option) from error


def _show(report: ReplayReport, dry_run: bool) -> None:
    """A table of at most 100 columns."""
    console = Console(highlight=False)
    table = Table(title="Would be replayed" if dry_run else f"Replay {report.replay_id}", title_justify="left", title_style="bold")
    table.add_column("provider")
    table.add_column("records", justify="right")
    for provider, count in sorted(report.providers.items()):
        table.add_row(provider, str(count))
    console.print(table)
    console.print(f"{report.records} records of {len(report.patients)} patients" + ("; nothing was sent" if dry_run else ""))
    if report.gone:
        console.print(f"[yellow]{len(report.gone)} are no longer in Kafka: ask their providers to publish them again[/]")
    elif not dry_run:
        console.print(f"follow it: healthcare-records log --replay {report.replay_id}")
