"""`normalize --losses` and `--coverage`: the ledger of each input, and how much of each format is read."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from services.normalizer.mappings.tables import load_table

MAX_PATHS = 15  # of a format, the most frequent
MAX_INPUTS = 30  # with the lowest scores

Line = dict[str, Any]


@dataclass(slots=True)
class Coverage:
    """The ledgers of a format, added up."""

    inputs: int = 0
    mapped: int = 0
    ignored: Counter[str] = field(default_factory=Counter)  # by rule
    unmapped: Counter[str] = field(default_factory=Counter)  # by path
    carriers: Counter[str] = field(default_factory=Counter)  # inputs in which a path is not mapped
    refused: int = 0  # inputs that ended with a reason

    @property
    def score(self) -> float | None:
        """Of the elements that were meant to be read, the part that was; None when there are none."""
        return score(self.mapped, self.unmapped.total())

    def add(self, line: Line) -> None:
        """Add the ledger of one input."""
        self.inputs += 1
        losses = line.get("losses")
        if losses is None:
            self.refused += 1
            return
        self.mapped += losses["mapped"]
        self.ignored.update(losses["ignored"])
        self.unmapped.update(losses["unmapped"])
        self.carriers.update(losses["unmapped"].keys())

    def as_json(self) -> dict[str, Any]:
        """The figures, the most frequent paths first."""
        return {
            "inputs": self.inputs,
            "refused": self.refused,
            "mapped": self.mapped,
            "ignored": dict(self.ignored.most_common()),
            "unmapped": dict(self.unmapped.most_common()),
            "score": self.score,
        }


def score(mapped: int, unmapped: int) -> float | None:
    """Mapped elements among those that were not left out on purpose, 0 to 1."""
    return round(mapped / (mapped + unmapped), 4) if mapped + unmapped else None


def losses_of(line: Line) -> Line:
    """What `--losses --json` says of an input."""
    return {name: line.get(name) for name in ("input", "index", "format", "outcome", "reason", "losses")}


def print_losses(lines: Iterable[Line], console: Console) -> None:
    """Each input with its counts, its rules and its paths."""
    rules: set[str] = set()
    for line in lines:
        losses = line.get("losses")
        console.print(f"{line['input']} [{line['index']}]", markup=False, highlight=False, soft_wrap=True)
        if losses is None:
            console.print(f"  {line['outcome']}: {line['reason']}", markup=False, highlight=False)
            continue
        left_out, missed = sum(losses["ignored"].values()), sum(losses["unmapped"].values())
        console.print(f"  mapped {losses['mapped']}  left out {left_out}  not mapped {missed}", markup=False, highlight=False)
        for name, count in sorted(losses["ignored"].items(), key=lambda one: -one[1]):
            rules.add(name)
            console.print(f"    left out    {count:>6}  {name}", markup=False, highlight=False)
        for path, count in sorted(losses["unmapped"].items(), key=lambda one: -one[1]):
            console.print(f"    not mapped  {count:>6}  {path}", markup=False, highlight=False)
    said = load_table("ledger_rules")
    if rules:
        console.print("\nrules")
    for name in sorted(rules):
        console.print(f"  {name}: {said.get(name, '')}", markup=False, highlight=False)


def add_up(lines: Iterable[Line]) -> tuple[dict[str, Coverage], list[tuple[float, str, Line]]]:
    """The coverage of each format, and the inputs with their scores, lowest first."""
    formats: dict[str, Coverage] = {}
    scored = []
    for line in lines:
        formats.setdefault(line["format"], Coverage()).add(line)
        losses = line.get("losses")
        if losses and (found := score(losses["mapped"], sum(losses["unmapped"].values()))) is not None:
            scored.append((found, f"{line['input']} [{line['index']}]", {"input": line["input"], "index": line["index"], "score": found}))
    return formats, sorted(scored, key=lambda one: one[:2])


def print_coverage(formats: dict[str, Coverage], scored: list[tuple[float, str, Line]], console: Console) -> None:
    """A row for each format, its most frequent paths, and the inputs that are read least."""
    table = Table("format", box=None, pad_edge=False, header_style="bold")
    for name in ("inputs", "refused", "mapped", "left out", "not mapped", "score"):
        table.add_column(name, justify="right")
    for name, one in sorted(formats.items()):
        counts = (one.inputs, one.refused, one.mapped, one.ignored.total(), one.unmapped.total())
        table.add_row(name, *(f"{count:,}" for count in counts), percent(one.score))
    console.print(table)
    for name, one in sorted(formats.items()):
        if not one.unmapped:
            continue
        console.print(f"\nnot mapped most often in {name}", highlight=False)
        for path, count in one.unmapped.most_common(MAX_PATHS):
            console.print(f"  {count:>7,}  in {one.carriers[path]:>5,} inputs  {path}", markup=False, highlight=False, soft_wrap=True)
        if len(one.unmapped) > MAX_PATHS:
            console.print(f"  … and {len(one.unmapped) - MAX_PATHS} more paths", highlight=False)
    console.print("\nread least", highlight=False)
    for found, name, _ in scored[:MAX_INPUTS]:
        console.print(f"  {percent(found):>7}  {name}", markup=False, highlight=False, soft_wrap=True)
    if len(scored) > MAX_INPUTS:
        console.print(f"  … and {len(scored) - MAX_INPUTS} more inputs, {percent(scored[MAX_INPUTS][0])} and above", highlight=False)


def percent(value: float | None) -> str:
    """A part of one as per cent."""
    return "-" if value is None else f"{value:.1%}"
