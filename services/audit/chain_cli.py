"""`healthcare-records chain`, `retention`, `erase`, and checking the chain for `verify --chain`."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.audit.chain import ChainReport
from services.audit.chain_checking import check_export, check_log, export_log, read_anchors
from services.audit.keeping import drop_months, erase_patient, signing_key
from services.audit.settings import Settings
from shared.errors import Unavailable
from shared.postgres import open_pool

EXIT_TROUBLE = 1
WIDTH = 100
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
WHAT = {
    "edited": "was changed after it was recorded",
    "identity_edited": "names somebody else than it was recorded for",
    "missing": "is missing: the row that follows does not fit",
    "cut_off": "and what comes after it is missing: the chain ends too early",
    "anchor_differs": "is not what was anchored elsewhere",
    "summary_edited": "the summary of a dropped month was changed",
    "unreadable_line": "the line of the export cannot be read",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    chain = typer.Typer(help="The hash chain of the log.", no_args_is_help=True)
    chain.command("export")(export_chain)
    chain.callback()(lambda: None)  # a group even with one command
    app.add_typer(chain, name="chain")
    app.command("retention")(keep_months)
    app.command("erase")(erase)


def export_chain(out: Annotated[Path, typer.Option(help="File to write; it must not exist.")], as_json: JsonOption = False) -> None:
    """Write the log to a file whose chain can be checked anywhere; what identifies is sealed with each patient's key."""

    async def run() -> int:
        async with _pool() as pool:
            descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                return await export_log(pool, file)

    try:
        rows = _run(run())
    except OSError as error:
        raise typer.BadParameter(f"{out}: {type(error).__name__}", param_hint="--out") from error
    _say({"rows": rows, "file": str(out)}, f"{rows} rows in {out}; check it with `verify --chain --export {out}`", as_json)


def keep_months(
    months: Annotated[int, typer.Option(min=1, help="Whole months to keep, besides the present one.")],
    yes: Annotated[bool, typer.Option("--yes", help="Really drop; otherwise only show.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Drop months of the log that are older; each leaves a signed summary, so that the chain still verifies."""
    today = datetime.now(UTC).date()
    number = today.year * 12 + today.month - 1 - months
    before = date(number // 12, number % 12 + 1, 1)
    if not yes:
        _say({"before": str(before), "dropped": []}, f"would drop what was recorded before {before}; nothing was done (--yes)", as_json)
        return

    async def run() -> list[date]:
        async with _pool() as pool:
            return await drop_months(pool, before, signing_key(Settings().signing_key))

    dropped = [f"{one:%Y-%m}" for one in _run(run())]
    _say({"before": str(before), "dropped": dropped}, f"dropped: {', '.join(dropped) or 'nothing'}", as_json)


def erase(
    patient: Annotated[UUID, typer.Argument(help="Patient id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Really forget; it cannot be undone.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Forget a patient in the log: the ids are taken out, the key is destroyed, the chain still verifies. Documents lie elsewhere."""
    if not yes:
        _say({"patient": str(patient), "rows": 0}, "nothing was done: say --yes, it cannot be undone", as_json)
        raise typer.Exit(EXIT_TROUBLE)

    async def run() -> int:
        async with _pool() as pool:
            return await erase_patient(pool, str(patient))

    rows = _run(run())
    _say({"patient": str(patient), "rows": rows}, f"{rows} rows name this patient no more", as_json)


def check_chain_of(export: Path | None, anchors: Path | None) -> ChainReport:
    """The chain in the database, or in an export; against the anchors of this machine where there are any, or those given."""
    known = Settings().anchors
    file = anchors or (known if known.exists() and export is None else None)
    wanted = read_anchors(file) if file else None
    if export is not None:
        with export.open("rb") as lines:
            return check_export(lines, wanted)

    async def run() -> ChainReport:
        async with _pool() as pool:
            return await check_log(pool, wanted)

    report: ChainReport = _run(run())
    return report


def show_chain(report: ChainReport) -> None:
    """What is wrong, and how far the chains go."""
    console = Console(highlight=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    for one in report.faults:
        row = f" ({one.row_id})" if one.row_id else ""
        console.print(Text(f"chain {one.chain}, row {one.seq}{row}: {WHAT.get(one.what, one.what)}", "bold red"))
    if not report.faults:
        table = Table("chain", box=None, pad_edge=False)
        table.add_column("rows", justify="right")
        table.add_column("head")
        for chain, head in sorted(report.heads.items()):
            table.add_row(str(chain), str(head.seq), head.hash.hex()[:16])
        console.print(table, "")
    besides = [f"{report.erased} of forgotten patients"] if report.erased else []
    besides += [f"{report.unchained} from before the chain"] if report.unchained else []
    said = f" ({', '.join(besides)})" if besides else ""
    console.print(f"{report.rows} rows checked{said}: " + ("the chain is whole" if not report.faults else "the chain is broken"))


@asynccontextmanager
async def _pool() -> AsyncIterator[Any]:
    pool = await open_pool(Settings().platform.database_url, application_name="healthcare-records-chain", max_size=1, command_timeout=3600)
    try:
        yield pool
    finally:
        await pool.close()


def _run(work: Any) -> Any:
    try:
        return asyncio.run(work)
    except Unavailable as error:
        Console(stderr=True).print(f"{error}. Is the system running?", highlight=False, markup=False)
        raise typer.Exit(EXIT_TROUBLE) from error


def _say(value: dict[str, Any], sentence: str, as_json: bool) -> None:
    typer.echo(orjson.dumps(value).decode() if as_json else sentence)
