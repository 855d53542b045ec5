"""`healthcare-records verify`: the books; with `--platform` what platforms really have; with `--chain` the log's hash chain."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from services.audit.chain_cli import check_chain_of, show_chain
from services.audit.cli import read_books, show_books
from services.carepatron_writer.commands.common import (
    DestinationOption,
    JsonOption,
    PatientOption,
    ProviderOption,
    SinceOption,
    UntilOption,
    moment_of,
    text_of,
)
from services.carepatron_writer.commands.reading_back import check_platform, show_report
from services.carepatron_writer.verification import Scope

EXIT_TROUBLE = 1


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify")(verify)


def verify(
    platform: Annotated[bool, typer.Option("--platform", help="Read back what the platforms have, instead of the books.")] = False,
    chain: Annotated[bool, typer.Option("--chain", help="Check the hash chain of the log, instead of the books.")] = False,
    export: Annotated[
        Path | None, typer.Option(help="With --chain: an export instead of the database.", exists=True, dir_okay=False)
    ] = None,
    anchors: Annotated[Path | None, typer.Option(help="With --chain: the file of anchors.", exists=True, dir_okay=False)] = None,
    destination: DestinationOption = None,
    patient: PatientOption = None,
    provider: ProviderOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove from Kafka's offsets and the log that every document is accounted for; names what is missing. Exit 1 when not.

    With --platform: read every document back from the platform and compare it with what was written. With --chain: name the first row
    of the log that was edited, taken out or cut off.
    """
    if chain:
        checked = check_chain_of(export, anchors)
        if as_json:
            typer.echo(orjson.dumps(checked.as_dict()).decode())
        else:
            show_chain(checked)
        raise typer.Exit(EXIT_TROUBLE if checked.faults else 0)
    if export or anchors:
        raise typer.BadParameter("belongs to --chain", param_hint="--export, --anchors")
    if not platform:
        if any((destination, patient, provider, since, until)):
            raise typer.BadParameter("narrows --platform only", param_hint="--patient, --provider, …")
        books = read_books()
        if as_json:
            typer.echo(orjson.dumps(books.as_dict(), default=str).decode())
        else:
            show_books(books)
        raise typer.Exit(0 if books.books_balanced else EXIT_TROUBLE)
    report = check_platform(Scope(destination, text_of(patient), provider, moment_of(since), moment_of(until)))
    if as_json:
        typer.echo(orjson.dumps(report.as_dict(), default=str).decode())
    else:
        show_report(report)
    raise typer.Exit(EXIT_TROUBLE if report.differences else 0)
