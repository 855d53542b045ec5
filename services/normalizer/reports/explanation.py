"""`normalize --explain`: where each field of a result comes from, what each warning means and who can mend it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from services.normalizer.explain.sources import Sources, count_elements, sources_of
from services.normalizer.explain.variants import VARIANTS
from services.normalizer.mappings.tables import load_table
from services.normalizer.offline import as_json
from services.normalizer.reading import read_content
from shared.canonical.reading import ProviderProfile
from shared.formats.packages import RefusedPackage
from shared.formats.split import Piece, take_apart

MANY = 12  # more paths than these are the whole content


def explain(path: Path, provider: ProviderProfile, progress: Progress | None = None) -> Iterator[dict[str, Any]]:
    """An object for each message or document of a file: `fields` with their sources, `warnings` with their meaning."""
    said = load_table("warnings")
    for index, (content, format, _) in enumerate(_pieces(path)):
        reading = as_json(read_content(content, provider, format=format))
        step = None
        if progress is not None and format in VARIANTS:
            task = progress.add_task(f"{path.name} [{index}]", total=count_elements(content, format))
            step = lambda task=task: progress.advance(task)  # noqa: E731
        found = sources_of(content, format, provider, step) if reading["outcome"] == "normalized" else {}
        yield {
            "input": str(path),
            "index": index,
            "format": reading["format"],
            "outcome": reading["outcome"],
            "reason": reading["reason"],
            "where": reading["where"],
            "fields": {name: {"from": one.shows, "decided_by": one.decide} for name, one in found.items()},
            "warnings": [{**one, **{name: said[one["code"]][name] for name in ("means", "who", "do")}} for one in reading["warnings"]],
        }


def _pieces(path: Path) -> list[Piece]:
    try:
        return take_apart(path.read_bytes()).pieces
    except RefusedPackage:
        return [Piece(path.read_bytes(), "unknown")]


def print_explanation(explained: dict[str, Any], console: Console) -> None:
    """A field a line, with what it shows; then the warnings."""

    def line(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    line(f"{explained['input']} [{explained['index']}]  {explained['format']}  {explained['outcome']}")
    if explained["reason"]:
        line(f"  {explained['reason']}" + (f" at {explained['where']}" if explained["where"] else ""))
    width = min(max((len(name) for name in explained["fields"]), default=0), 60)
    for name, one in explained["fields"].items():
        line(f"  {name:<{width}}  {_shown(Sources(one['from'], one['decided_by']))}")
    for one in explained["warnings"]:
        line(f"  warning {one['code']}" + (f" at {one['where']}" if one["where"] else ""))
        line(f"    {one['means']}")
        line(f"    {one['who']}: {one['do']}")


def _shown(sources: Sources) -> str:
    """The paths that a field shows; else those that decide about it."""
    if sources.shows:
        return _listed(sources.shows)
    return f"(there because of {_listed(sources.decide)})" if sources.decide else "(always so)"


def _listed(paths: list[str]) -> str:
    return f"the whole content ({len(paths)} elements)" if len(paths) > MANY else ", ".join(paths)
