"""`healthcare-records reviews`: questions about who is who on a platform."""

import getpass
from typing import Annotated, get_args
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.carepatron_writer.commands.common import (
    EXIT_TROUBLE,
    DestinationOption,
    JsonOption,
    PatientOption,
    console_of,
    open_accounts,
    open_database,
    open_producer,
    print_json,
    run_work,
    text_of,
)
from services.carepatron_writer.reviews import Choice, NotPossible, Review, Reviews


def list_reviews(
    state: Annotated[str | None, typer.Option(help="open, moving, link, create or leave; none: all.")] = None,
    destination: DestinationOption = None,
    patient: PatientOption = None,
    as_json: JsonOption = False,
) -> None:
    """Patients whom a person has to compare with clients of a platform, open questions first."""

    async def run() -> list[Review]:
        async with open_database() as pool:
            return await Reviews(pool, {}, None).list(state=state, patient_key=text_of(patient), destination_id=destination)

    found = run_work(run())
    if as_json:
        print_json({"items": [one.as_dict() for one in found]})
        return
    table = Table("patient", "destination", "state", "candidates", "documents waiting", "asked (UTC)", box=None, pad_edge=False)
    for one in found:
        state_shown = Text(one.state, "yellow" if one.state in ("open", "moving") else "green")
        waiting = str(one.documents_waiting)
        table.add_row(one.patient_key, one.destination_id, state_shown, str(len(one.candidates)), waiting, f"{one.asked_at:%m-%d %H:%M}")
    console_of().print(table if found else "nobody has to decide anything")


def show_review(
    patient: Annotated[UUID, typer.Argument(help="Patient key.")], destination: str = "carepatron", as_json: JsonOption = False
) -> None:
    """One question: the clients who may be the patient, what agrees and what differs, and what was decided before."""

    async def run() -> Review | None:
        async with open_database() as pool:
            return await Reviews(pool, {}, None).get(destination, str(patient))

    review = run_work(run())
    if review is None:
        Console(stderr=True).print("There is no question about this patient there.")
        raise typer.Exit(EXIT_TROUBLE)
    if as_json:
        print_json(review.as_dict())
    else:
        _show(review)


def decide_review(
    patient: Annotated[UUID, typer.Argument(help="Patient key.")],
    decision: Annotated[str, typer.Argument(help="link, create or leave.")],
    client: Annotated[str | None, typer.Option(help="For link: the platform's id of the client.")] = None,
    destination: str = "carepatron",
    by: Annotated[str | None, typer.Option(help="Who decides; none: the name of this account.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Decide, or decide otherwise: what was written to another client is taken back there first. What waits comes in then."""
    choice: Choice | None = next((one for one in get_args(Choice) if one == decision), None)
    if choice is None:
        raise typer.BadParameter("link, create or leave", param_hint="DECISION")

    async def run() -> Review:
        async with open_database() as pool, open_accounts() as opened, open_producer() as producer:
            return await Reviews(pool, opened, producer).decide(destination, str(patient), choice, client, by or getpass.getuser())

    try:
        review = run_work(run())
    except NotPossible as refusal:
        Console(stderr=True).print(str(refusal))
        raise typer.Exit(EXIT_TROUBLE) from refusal
    if as_json:
        print_json(review.as_dict())
    else:
        _show(review)


def _show(review: Review) -> None:
    console = console_of()
    console.print(f"patient {review.patient_key} at {review.destination_id}: {review.state}, {review.documents_waiting} documents wait")
    table = Table("client", "agrees", "differs", box=None, pad_edge=False)
    for one in review.candidates:
        table.add_row(one["external_id"], ", ".join(one["agrees"]), ", ".join(one["differs"]) or "nothing that both say")
    console.print(table)
    for past in review.decisions:
        client = f" to {past.external_id}" if past.external_id else ""
        console.print(f"{past.decided_at:%Y-%m-%d %H:%M} UTC  {past.decision}{client}, by {past.decided_by}", markup=False, highlight=False)
