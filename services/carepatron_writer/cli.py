"""`healthcare-records platforms`, `reviews`, `repair`, and reading back for `verify --platform`. At most 100 columns; `--json`."""

import asyncio
import getpass
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, get_args
from uuid import UUID

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.carepatron_writer.destinations import PACKAGES, open_platforms
from services.carepatron_writer.platforms.port import Platform
from services.carepatron_writer.platforms.profile import Profile, load_profile
from services.carepatron_writer.reviews import Choice, NotPossible, Review, Reviews
from services.carepatron_writer.verification import PlatformReport, Scope, repair, verify_platform
from shared.delivery import Producer
from shared.errors import Unavailable
from shared.postgres import open_pool
from shared.providers import load_directory
from shared.settings import PlatformSettings

EXIT_TROUBLE = 1
WIDTH = 100
SHOWN = 40  # differences named on a screen
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
DestinationOption = Annotated[str | None, typer.Option(help="Destination id.")]
PatientOption = Annotated[UUID | None, typer.Option(help="Patient key.")]
ProviderOption = Annotated[str | None, typer.Option(help="Provider id.")]
SinceOption = Annotated[datetime | None, typer.Option(help="Written at or after.")]
UntilOption = Annotated[datetime | None, typer.Option(help="Written before.")]


def register(app: typer.Typer) -> None:
    """Add the commands of the writer."""
    platforms = typer.Typer(help="Platforms that documents are written to.", no_args_is_help=True)
    platforms.command("list")(list_platforms)
    platforms.command("show")(show_platform)
    platforms.command("probe")(probe_platform)
    app.add_typer(platforms, name="platforms")
    reviews = typer.Typer(help="Questions about who is who on a platform.", no_args_is_help=True)
    reviews.command("list")(list_reviews)
    reviews.command("show")(show_review)
    reviews.command("decide")(decide_review)
    app.add_typer(reviews, name="reviews")
    app.command("repair")(repair_platform)


# --- platforms ---


def list_platforms(as_json: JsonOption = False) -> None:
    """Every platform that is described, and what it can do."""
    profiles = [load_profile(package) for package in PACKAGES.values()]
    if as_json:
        _print_json({"items": [{"name": one.name, "title": one.title, **asdict(one.capabilities)} for one in profiles]})
        return
    table = Table("platform", "documents", "change", "withdraw", "evidence", "title", box=None, pad_edge=False)
    for one in profiles:
        can = one.capabilities
        table.add_row(
            one.name, _yes(can.write_documents), one.content.change.replace("_", " "), _yes(can.withdraw), one.evidence, one.title
        )
    _console().print(table)


def show_platform(name: Annotated[str, typer.Argument(help="Platform.")], as_json: JsonOption = False) -> None:
    """What is known of a platform, and how it is known."""
    profile = _profile(name)
    if as_json:
        _print_json(profile.model_dump(mode="json"))
        return
    console = _console()
    console.print(Text(profile.title, "bold"))
    content = profile.content
    console.print(
        f"takes {', '.join(content.media_types)}; at most {content.max_bytes:,} bytes; content changes {content.change.replace('_', ' ')}"
    )
    console.print(f"allowed: {', '.join(sorted(profile.allowed_effects))}. Everything else is refused before it is sent.", "")
    for window in profile.windows:
        console.print(f"limit {window.name}: {window.requests} in {window.seconds:g} s ({window.scope}, {window.kind}, {window.evidence})")
    table = Table("operation", "call", "does", "evidence", box=None, pad_edge=False)
    for key, one in profile.operations.items():
        is_allowed = set(one.effects) <= profile.allowed_effects
        effects = Text(", ".join(one.effects), "" if is_allowed else "red")
        table.add_row(key, f"{one.method} {one.path}", effects, one.evidence)
    console.print(table, "")
    for key, claim in profile.claims.items():
        console.print(f"{key.replace('_', ' ')}: {claim}")


def probe_platform(destination: Annotated[str, typer.Argument(help="Destination id.")], as_json: JsonOption = False) -> None:
    """Compare the live system behind a destination with its profile; changes nothing there. Exit 1 when they differ."""

    async def run() -> list[dict[str, Any]]:
        async with _platforms() as opened:
            return [asdict(one) for one in await _known(opened, destination).probe()]

    found = _run(run())
    if as_json:
        _print_json({"destination_id": destination, "drift": found})
    elif not found:
        _console().print(f"{destination} answers as its profile says.")
    else:
        table = Table("where", "profile", "found", box=None, pad_edge=False)
        for one in found:
            table.add_row(one["where"], one["expected"], one["found"])
        _console().print(table)
    raise typer.Exit(EXIT_TROUBLE if found else 0)


# --- reviews ---


def list_reviews(
    state: Annotated[str | None, typer.Option(help="open, moving, link, create or leave; none: all.")] = None,
    destination: DestinationOption = None,
    patient: PatientOption = None,
    as_json: JsonOption = False,
) -> None:
    """Patients whom a person has to compare with clients of a platform, open questions first."""

    async def run() -> list[Review]:
        async with _pool() as pool:
            return await Reviews(pool, {}, None).list(state=state, patient_key=_text(patient), destination_id=destination)

    found = _run(run())
    if as_json:
        _print_json({"items": [one.as_dict() for one in found]})
        return
    table = Table("patient", "destination", "state", "candidates", "documents waiting", "asked (UTC)", box=None, pad_edge=False)
    for one in found:
        state_shown = Text(one.state, "yellow" if one.state in ("open", "moving") else "green")
        waiting = str(one.documents_waiting)
        table.add_row(one.patient_key, one.destination_id, state_shown, str(len(one.candidates)), waiting, f"{one.asked_at:%m-%d %H:%M}")
    _console().print(table if found else "nobody has to decide anything")


def show_review(
    patient: Annotated[UUID, typer.Argument(help="Patient key.")], destination: str = "carepatron", as_json: JsonOption = False
) -> None:
    """One question: the clients who may be the patient, what agrees and what differs, and what was decided before."""

    async def run() -> Review | None:
        async with _pool() as pool:
            return await Reviews(pool, {}, None).get(destination, str(patient))

    review = _run(run())
    if review is None:
        Console(stderr=True).print("There is no question about this patient there.")
        raise typer.Exit(EXIT_TROUBLE)
    if as_json:
        _print_json(review.as_dict())
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
        async with _pool() as pool, _platforms() as opened, _producer() as producer:
            return await Reviews(pool, opened, producer).decide(destination, str(patient), choice, client, by or getpass.getuser())

    try:
        review = _run(run())
    except NotPossible as refusal:
        Console(stderr=True).print(str(refusal))
        raise typer.Exit(EXIT_TROUBLE) from refusal
    if as_json:
        _print_json(review.as_dict())
    else:
        _show(review)


# --- reading back ---


def check_platform(scope: Scope) -> PlatformReport:
    """Read everything back, for `verify --platform`."""
    report: PlatformReport = _run(_check(scope))
    return report


def show_report(report: PlatformReport) -> None:
    """The differences, one on a line."""
    console = _console()
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
            async with _pool() as pool, _producer() as producer:
                await repair(pool, report, producer)
        return report

    report: PlatformReport = _run(run(Scope(destination, _text(patient), provider, _moment(since), _moment(until))))
    if as_json:
        _print_json({**report.as_dict(), "dry_run": dry_run})
    else:
        show_report(report)
        if not dry_run and report.differences:
            _console().print(f"{report.repaired} asked to be written again; the rest is for a person to decide", highlight=False)
    raise typer.Exit(EXIT_TROUBLE if len(report.differences) > report.repaired else 0)


async def _check(scope: Scope) -> PlatformReport:
    async with _pool() as pool, _platforms() as opened:
        return await verify_platform(pool, opened, scope)


# --- what commands open ---


@asynccontextmanager
async def _pool() -> AsyncIterator[Any]:
    pool = await open_pool(PlatformSettings().database_url, application_name="healthcare-records-writer", max_size=4)
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def _platforms() -> AsyncIterator[Mapping[str, Platform]]:
    settings = PlatformSettings()
    async with AsyncExitStack() as stack:
        opened = open_platforms(load_directory(settings.providers_file, settings.clinics_file))
        for one in opened.values():
            stack.push_async_callback(one.aclose)
        yield opened


@asynccontextmanager
async def _producer() -> AsyncIterator[Producer]:
    producer = Producer(PlatformSettings().bootstrap, name="writer-cli")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


def _run(work: Any) -> Any:
    try:
        return asyncio.run(work)
    except Unavailable as error:
        Console(stderr=True).print(f"{error}. Is the system running?", highlight=False, markup=False)
        raise typer.Exit(EXIT_TROUBLE) from error


def _known(opened: Mapping[str, Platform], destination: str) -> Platform:
    if destination not in opened:
        raise typer.BadParameter(f"{destination} is none of {', '.join(opened)}", param_hint="DESTINATION")
    return opened[destination]


def _profile(name: str) -> Profile:
    if name not in PACKAGES:
        raise typer.BadParameter(f"{name} is none of {', '.join(PACKAGES)}", param_hint="NAME")
    return load_profile(PACKAGES[name])


def _show(review: Review) -> None:
    console = _console()
    console.print(f"patient {review.patient_key} at {review.destination_id}: {review.state}, {review.documents_waiting} documents wait")
    table = Table("client", "agrees", "differs", box=None, pad_edge=False)
    for one in review.candidates:
        table.add_row(one["external_id"], ", ".join(one["agrees"]), ", ".join(one["differs"]) or "nothing that both say")
    console.print(table)
    for past in review.decisions:
        client = f" to {past.external_id}" if past.external_id else ""
        console.print(f"{past.decided_at:%Y-%m-%d %H:%M} UTC  {past.decision}{client}, by {past.decided_by}", markup=False, highlight=False)


def _console() -> Console:
    """At most 100 columns, whatever the terminal."""
    console = Console(highlight=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    return console


def _print_json(value: Any) -> None:
    typer.echo(orjson.dumps(value, default=str).decode())


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _text(key: UUID | None) -> str | None:
    return None if key is None else str(key)


def _moment(local: datetime | None) -> datetime | None:
    """A time as typed: of this machine's zone where it names none."""
    return None if local is None else local.astimezone()


def _end(version: str | None) -> str:
    return "–" if version is None else version[-20:]
