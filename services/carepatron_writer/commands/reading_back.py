"""`healthcare-records repair`, and reading back for `verify --platform`."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from services.carepatron_writer.commands.common import (
    EXIT_TROUBLE,
    DestinationOption,
    JsonOption,
    PatientOption,
    ProviderOption,
    SinceOption,
    UntilOption,
    console_of,
    moment_of,
    open_accounts,
    open_database,
    open_producer,
    print_json,
    run_work,
    text_of,
)
from services.carepatron_writer.verification import PlatformReport, Scope, repair, verify_platform

SHOWN = 40  # differences named on a screen


def check_platform(scope: Scope) -> PlatformReport:
    """Read everything back, for `verify --platform`."""
    report: PlatformReport = run_work(_check(scope))
    return report


def show_report(report: PlatformReport) -> None:
    """The differences, one on a line."""
    console = console_of()
    table = Table("what", "destination", "patient", "document", "ours", "theirs", box=None, pad_edge=False)
    for one in report.differences[:SHOWN]:
        document = (one.document_id or "–")[:8]
        shown = [_end(one.expected), _end(one.found)]
        table.add_row(Text(one.what.replace("_", " "), "red"), one.destination_id, one.patient_key[:8], document, *shown)
    if report.differences:
        console.print(table, "")
    if len(report.differences) > SHOWN:
        console.print(f"and {len(report.differences) - SHOWN} more: --json shows all", highlight=False)
    said = "all as they should be" if not report.differences else f"{len(report.differences)} not as they should be"
    console.print(f"{report.documents} documents of {report.patients} patients read back: {said}", highlight=False)


def repair_platform(
    destination: DestinationOption = None,
    patient: PatientOption = None,
    provider: ProviderOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what differs.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Read back what platforms have and write again what differs, nothing else. Exit 1 when something is left to a person."""

    async def run(scope: Scope) -> PlatformReport:
        report = await _check(scope)
        if not dry_run and report.differences:
            async with open_database() as pool, open_producer() as producer:
                await repair(pool, report, producer)
        return report

    report: PlatformReport = run_work(run(Scope(destination, text_of(patient), provider, moment_of(since), moment_of(until))))
    if as_json:
        print_json({**report.as_dict(), "dry_run": dry_run})
    else:
        show_report(report)
        if not dry_run and report.differences:
            console_of().print(f"{report.repaired} asked to be written again; the rest is for a person to decide", highlight=False)
    raise typer.Exit(EXIT_TROUBLE if len(report.differences) > report.repaired else 0)


async def _check(scope: Scope) -> PlatformReport:
    async with open_database() as pool, open_accounts() as opened:
        return await verify_platform(pool, opened, scope)


def _end(version: str | None) -> str:
    return "–" if version is None else version[-20:]
