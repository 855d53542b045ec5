"""`healthcare-records log`, `status`, `verify`, `losses`: the log, the system, the books, what is read. At most 100 columns; `--json`."""

import asyncio
from typing import Annotated, Any, NoReturn

import orjson
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.audit.books import Books, books_line, verify
from services.audit.log_query import MAX_LIMIT, LogFilter, Page, fetch_page
from services.audit.losses import read_losses, show_losses
from services.audit.playbook import play_of
from services.audit.status import read_status
from shared.errors import Unavailable
from shared.outcomes import Reason, Stage, Status
from shared.postgres import open_pool
from shared.settings import PlatformSettings

EXIT_TROUBLE, EXIT_USAGE = 1, 2
WIDTH = 100
COLOURS = {"rejected": "red", "failed": "red", "created": "green", "updated": "green", "unchanged": "green", "withdrawn": "green"}
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add the commands of audit to the command line; `verify` is put together with the writer's in services/cli.py."""
    app.command("log")(log)
    app.command("status")(status)
    app.command("losses")(losses)


def log(
    patient: Annotated[str | None, typer.Option(help="Patient id.")] = None,
    document: Annotated[str | None, typer.Option(help="Document id.")] = None,
    provider: Annotated[str | None, typer.Option(help="Provider id.")] = None,
    status: Annotated[Status | None, typer.Option(help="What became of it.")] = None,
    stage: Annotated[Stage | None, typer.Option(help="The service that decided.")] = None,
    reason: Annotated[Reason | None, typer.Option(help="Why not.", metavar="REASON")] = None,
    correlation: Annotated[str | None, typer.Option(help="Id of the published event.")] = None,
    replay: Annotated[str | None, typer.Option(help="Id of a replay.")] = None,
    since: Annotated[str | None, typer.Option(help="Decided at or after (2026-11-23 or 2026-11-23T14:00Z).")] = None,
    until: Annotated[str | None, typer.Option(help="Decided before.")] = None,
    terminal: Annotated[bool | None, typer.Option(help="Only what ended a way, or only the rest.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_LIMIT, help="Rows.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="next_cursor of the page before.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Search the sync log, newest first."""
    given = {
        "patient": patient,
        "document": document,
        "provider": provider,
        "status": status,
        "stage": stage,
        "reason": reason,
        "correlation": correlation,
        "replay": replay,
        "since": since,
        "until": until,
        "terminal": terminal,
    }
    try:
        wanted = LogFilter.model_validate(given)
        page = _run(_read_page(wanted, cursor, limit))
    except ValidationError as error:
        _usage("not understood: " + ", ".join(sorted({f"--{one['loc'][0]}" for one in error.errors()})))
    except ValueError:
        _usage("not understood: --cursor")
    if as_json:
        _print_json(
            {
                "items": [{name: one for name, one in row.items() if name != "received_order"} for row in page.rows],
                "next_cursor": page.next_cursor,
            }
        )
        return
    _show_page(page)


def status(as_json: JsonOption = False) -> None:
    """Services, lag, counts by status, what waits at the desk. Exit 1 when something is down."""
    platform = PlatformSettings()
    found = _run(read_status(platform.database_url, platform.bootstrap))
    is_trouble = bool(found["unavailable"]) or any(one["state"] in ("down", "not ready") for one in found["services"])
    if as_json:
        _print_json(found)
    else:
        _show_status(found)
    raise typer.Exit(EXIT_TROUBLE if is_trouble else 0)


def read_books() -> Books:
    """The books as they stand now."""
    platform = PlatformSettings()
    books: Books = _run(verify(platform.database_url, platform.kafka_bootstrap_servers))
    return books


def losses(
    provider: Annotated[str | None, typer.Option(help="Provider id.")] = None,
    as_json: JsonOption = False,
) -> None:
    """How much of what each provider sends is read, by format and mapping version, and what is missed most."""
    found = _run(read_losses(PlatformSettings().database_url, provider))
    if as_json:
        _print_json(found)
    else:
        show_losses(found, _console())


def _run(work: Any) -> Any:
    try:
        return asyncio.run(work)
    except Unavailable as error:
        Console(stderr=True).print(f"{error}. Is the system running?", highlight=False, markup=False)
        raise typer.Exit(EXIT_TROUBLE) from error


def _usage(message: str) -> NoReturn:
    Console(stderr=True).print(message, highlight=False, markup=False)
    raise typer.Exit(EXIT_USAGE)


async def _read_page(wanted: LogFilter, cursor: str | None, limit: int) -> Page:
    pool = await open_pool(PlatformSettings().database_url, application_name="healthcare-records-log", max_size=1)
    try:
        return await fetch_page(pool, wanted, cursor=cursor, limit=limit)
    finally:
        await pool.close()


def _show_page(page: Page) -> None:
    table = Table("time (UTC)", "status", "stage", "provider", "document", "what", box=None, pad_edge=False)
    for row in page.rows:
        play = play_of(row["reason"])
        what = (play.sentence if play else row["reason"]) or row["document_type"] or row["action"] or ""
        table.add_row(
            f"{row['timestamp']:%m-%d %H:%M:%S}",
            Text(row["status"], COLOURS.get(row["status"], "")),
            {"carepatron_writer": "writer"}.get(row["stage"], row["stage"]),
            Text(row["provider"] or "–"),
            str(row["document_id"] or "–")[:8],
            Text(f"{what} ({row['where']})" if row["where"] else what),
        )
    console = _console()
    console.print(table if page.rows else "nothing in the log fits")
    if page.next_cursor:
        console.print(f"older: --cursor {page.next_cursor}", highlight=False)


def _show_status(found: dict[str, Any]) -> None:
    console = _console()
    services = Table("service", "state", "waiting for", box=None, pad_edge=False)
    for one in found["services"]:
        colour = {"ready": "green", "unknown": "dim"}.get(one["state"], "red")
        services.add_row(one["service"], Text(one["state"], colour), Text(", ".join(one["waiting_for"])))
    console.print(services, "")
    if found["lag"] is not None:
        lag = Table("group", "topic", box=None, pad_edge=False)
        lag.add_column("lag", justify="right")
        for one in found["lag"]:
            lag.add_row(one["group"], one["topic"], str(one["lag"]))
        console.print(lag, "")
    for one in found["platforms"]:
        limit = "no limit known" if one["writes_per_second"] is None else f"{one['writes_per_second'] * 60:.0f} writes a minute"
        eta = "" if one["eta_seconds"] is None else f", {one['waiting']} waiting take about {_duration(one['eta_seconds'])}"
        pause = f", paused for {one['paused_seconds']:.0f} s" if one["paused_seconds"] else ""
        console.print(f"{one['destination_id']}: {limit}{eta}{pause}", highlight=False, markup=False)
    if found["counts"] is not None:
        counts = Table("stage", "status", box=None, pad_edge=False)
        counts.add_column("outcomes", justify="right")
        for one in found["counts"]:
            counts.add_row(one["stage"], Text(one["status"], COLOURS.get(one["status"], "")), str(one["rows"]))
        console.print(counts, "")
        console.print(f"at the desk: {found['open_quarantine']} open", highlight=False)
    for one in found["unavailable"]:
        console.print(Text(one, "red"))


def show_books(books: Books) -> None:
    console = _console()
    table = Table("the books", box=None, pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("=")
    table.add_column("", justify="right")
    for one in books.equations:
        terms = " + ".join(f"{count} {name}" for name, count in one.terms.items() if count) or "0"
        table.add_row(one.name, str(one.left), Text(terms), Text("holds", "green") if one.holds else Text("open", "red"))
    console.print(table, "")
    for missing in books.missing:
        console.print(
            Text(
                f"missing  {missing.topic}/{missing.partition}/{missing.offset}\n"
                f"         document {missing.document_id or '–'}  event {missing.correlation_id or '–'}\n"
                f"         provider {missing.provider_id or '–'}  owed by {missing.stage}  {missing.why.replace('_', ' ')}"
            )
        )
    if books.missing_unnamed:
        console.print(f"and {books.missing_unnamed} more", highlight=False)
    if books.waiting_for_audit:
        console.print(f"{books.waiting_for_audit} outcomes wait to be read by audit", highlight=False)
    console.print(Text(books_line(books), "green" if books.books_balanced else "bold red"))


def _duration(seconds: int) -> str:
    """A length of time as people say it."""
    if seconds < 90:
        return f"{seconds} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _console() -> Console:
    """At most 100 columns, whatever the terminal."""
    console = Console()
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    return console


def _print_json(value: Any) -> None:
    typer.echo(orjson.dumps(value, default=str).decode())
