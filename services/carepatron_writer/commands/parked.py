"""`healthcare-records parked`: patients for whom a platform keeps failing."""

from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.carepatron_writer.commands.common import (
    EXIT_TROUBLE,
    JsonOption,
    console_of,
    open_database,
    open_producer,
    print_json,
    run_work,
)
from services.carepatron_writer.parking import list_parked, release
from services.carepatron_writer.reviews import NotPossible


def show_parked(as_json: JsonOption = False) -> None:
    """Who is parked, since when and why."""

    async def run() -> list[dict[str, Any]]:
        async with open_database() as pool:
            return await list_parked(pool)

    found = run_work(run())
    if as_json:
        print_json({"items": found})
        return
    table = Table("patient", "destination", "since (UTC)", "why", box=None, pad_edge=False)
    for one in found:
        table.add_row(one["patient_key"], one["destination_id"], f"{one['since']:%m-%d %H:%M}", Text(one["why"]))
    console_of().print(table if found else "nobody is parked")


def release_parked(
    patient: Annotated[UUID, typer.Argument(help="Patient key.")], destination: str = "carepatron", as_json: JsonOption = False
) -> None:
    """Try again for a patient: what was received is sent again in its order."""

    async def run() -> None:
        async with open_database() as pool, open_producer() as producer:
            await release(pool, producer, destination, str(patient))

    try:
        run_work(run())
    except NotPossible as refusal:
        Console(stderr=True).print(str(refusal))
        raise typer.Exit(EXIT_TROUBLE) from refusal
    if as_json:
        print_json({"destination_id": destination, "patient_key": str(patient), "state": "released"})
    else:
        console_of().print("released: what was received for this patient is sent again")
