"""Commands of the normalizer: `normalize`, offline."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.normalizer.offline import normalize_file
from services.normalizer.offline_pool import normalize_files
from services.normalizer.reports.comparison import NoMapping, compare, lines_of, print_comparison
from services.normalizer.reports.explanation import explain, print_explanation
from services.normalizer.reports.losses import add_up, losses_of, print_coverage, print_losses
from shared.canonical.reading import ProviderProfile
from shared.providers import load_directory
from shared.settings import PlatformSettings

EXIT_TROUBLE, EXIT_USAGE = 1, 2


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(normalize)


def normalize(
    paths: Annotated[list[Path], typer.Argument(help="files and folders")],
    provider: Annotated[str, typer.Option(help="provider id, for identities and the time zone")] = "offline",
    losses: Annotated[bool, typer.Option("--losses", help="what of each input was mapped, left out, not mapped")] = False,
    coverage: Annotated[bool, typer.Option("--coverage", help="how much of each format and input is mapped")] = False,
    explained: Annotated[bool, typer.Option("--explain", help="where each field comes from, what each warning means")] = False,
    diff: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="OLD NEW",
            help="fields that change between two mappings: lines printed earlier, a checkout, a folder of tables, or current",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="reports as JSON")] = False,
) -> None:
    """Read files offline: one JSON line for each document or message found, nothing stored. Exit 1 if a path does not exist.

    Lines come in the order of the inputs; a file that cannot be read is a line with its reason.
    """
    if sum((losses, coverage, explained, diff is not None)) > 1:
        typer.echo("choose one of --losses, --coverage, --explain and --diff", err=True)
        raise typer.Exit(EXIT_USAGE)
    settings = PlatformSettings()
    profile = load_directory(settings.providers_file, settings.clinics_file).profile(provider)
    missing = [one for one in paths if not one.exists()]
    for one in missing:
        typer.echo(f"{one}: no such file or folder", err=True)
    known = [one for one in paths if one.exists()]
    console = Console(highlight=False)
    if diff is not None:
        _compare(diff, known, provider, json, console)
    elif explained:
        _explain(known, profile, json, console)
    elif losses:
        lines = _lines(known, profile)
        _write(map(losses_of, lines)) if json else print_losses(lines, console)
    elif coverage:
        formats, scored = add_up(_lines(known, profile))
        if json:
            _write([{"formats": {name: one.as_json() for name, one in formats.items()}, "inputs": [one for _, _, one in scored]}])
        else:
            print_coverage(formats, scored, console)
    else:
        _write(_lines(known, profile))
    if missing:
        raise typer.Exit(EXIT_TROUBLE)


def _write(lines: Any) -> None:
    for line in lines:
        sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
    sys.stdout.flush()


def _lines(paths: list[Path], provider: ProviderProfile) -> Iterator[dict[str, Any]]:
    """The lines of all files; several files are read by several processes."""
    files = list(_files(paths))
    if len(files) < 2:
        for path in files:
            yield from normalize_file(path, provider)
        return
    with _progress() as progress:
        task = progress.add_task("reading", total=len(files))
        for _, lines in normalize_files(files, provider):
            yield from lines
            progress.advance(task)


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar on the terminal, when the lines do not go there themselves."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    is_shown = sys.stderr.isatty() and not sys.stdout.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not is_shown) as progress:
        yield progress


def _explain(paths: list[Path], provider: ProviderProfile, json: bool, console: Console) -> None:
    with _progress() as progress:
        for path in _files(paths):
            for one in explain(path, provider, progress):
                _write([one]) if json else print_explanation(one, console)


def _compare(diff: tuple[str, str], paths: list[Path], provider: str, json: bool, console: Console) -> None:
    try:
        changes = compare(*(lines_of(one, paths, provider) for one in diff))
    except NoMapping as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_USAGE) from None
    _write(changes) if json else print_comparison(changes, console)


def _files(paths: list[Path]) -> Iterator[Path]:
    """Every regular file under the paths, in order; hidden ones are left out."""
    for path in paths:
        if path.is_file():
            yield path
            continue
        for found in sorted(path.rglob("*")):
            if found.is_file() and not any(part.startswith(".") for part in found.relative_to(path).parts):
                yield found
