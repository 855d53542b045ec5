"""Files and folders as a source: which files are documents, and whose."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

STDIN = "-"
# documentation that lies beside documents, at the top of a folder
DOCUMENTATION = ("SOURCES", "README", "LICENSE", "LICENCE", "NOTICE", "CHANGELOG", "COPYING")


@dataclass(frozen=True, slots=True)
class Source:
    """A file and the provider that it belongs to; no path is the standard input."""

    path: Path | None
    provider_id: str


@dataclass(frozen=True, slots=True)
class Found:
    """What paths hold."""

    sources: list[Source] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # asked for, but not there
    ignored: list[str] = field(default_factory=list)  # left out on purpose: hidden files, documentation of a folder


def find_sources(paths: list[Path], *, provider: str | None, default_provider: str) -> Found:
    """The files to publish in sorted order, each with its provider, and what is left out."""
    found = Found()
    for path in paths:
        if str(path) == STDIN:
            found.sources.append(Source(None, provider or default_provider))
        elif path.is_file():
            found.sources.append(Source(path, provider or default_provider))
        elif path.is_dir():
            for file in _files_under(path):
                inside = file.relative_to(path).parts
                if any(part.startswith(".") for part in inside):
                    found.ignored.append(f"{file}: hidden")
                elif len(inside) == 1 and file.stem.upper() in DOCUMENTATION:
                    found.ignored.append(f"{file}: documentation of the folder")
                else:
                    owner = inside[0] if len(inside) > 1 else path.resolve().name
                    found.sources.append(Source(file, provider or owner or default_provider))
        else:
            found.missing.append(f"{path}: not found")
    return found


def _files_under(folder: Path) -> Iterator[Path]:
    """Regular files, sorted, without following links to folders."""
    for where, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            file = Path(where, name)
            if file.is_file():
                yield file


def read_source(path: Path | None, limit: int) -> bytes:
    """At most `limit` bytes of a file or of the standard input."""
    if path is None:
        return sys.stdin.buffer.read(limit)
    with path.open("rb") as file:
        return file.read(limit)
