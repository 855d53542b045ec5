"""Commands of the normalizer: `normalize`, offline."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import orjson
import typer

from services.normalizer.offline import normalize_file
from shared.providers import load_directory
from shared.settings import PlatformSettings

EXIT_TROUBLE = 1


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(normalize)


def normalize(
    paths: Annotated[list[Path], typer.Argument(help="files and folders")],
    provider: Annotated[str, typer.Option(help="provider id, for identities and the time zone")] = "offline",
) -> None:
    """Read files offline: one JSON line for each document or message found, nothing stored. Exit 1 if a path does not exist."""
    settings = PlatformSettings()
    profile = load_directory(settings.providers_file, settings.clinics_file).profile(provider)
    missing = [one for one in paths if not one.exists()]
    for one in missing:
        typer.echo(f"{one}: no such file or folder", err=True)
    for path in _files([one for one in paths if one.exists()]):
        for line in normalize_file(path, profile):
            sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
    sys.stdout.flush()
    if missing:
        raise typer.Exit(EXIT_TROUBLE)


def _files(paths: list[Path]) -> Iterator[Path]:
    """Every regular file under the paths, in order; hidden ones are left out."""
    for path in paths:
        if path.is_file():
            yield path
            continue
        for found in sorted(path.rglob("*")):
            if found.is_file() and not any(part.startswith(".") for part in found.relative_to(path).parts):
                yield found
