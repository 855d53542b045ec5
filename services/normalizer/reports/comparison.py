"""`normalize --diff OLD NEW`: which fields of which documents change between two mappings, ranked by the patients that they touch."""

import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from services.normalizer.explain.differences import differences

CURRENT = "current"
MAX_FIELDS, MAX_DOCUMENTS = 40, 5
NOT_COMPARED = frozenset({"input", "index", "losses"})

Line = dict[str, Any]


class NoMapping(Exception):
    """What was given is no mapping: neither lines, nor a checkout, nor tables."""


def lines_of(mapping: str, paths: list[Path], provider: str) -> Iterator[Line]:
    """The lines of a mapping over files: a file of lines that `normalize` printed, a checkout of another version,
    a folder of mapping tables to use in place of ours, or `current`.

    Raises NoMapping.
    """
    place = Path(mapping)
    if mapping != CURRENT and place.is_file():
        with place.open("rb") as file:
            yield from (orjson.loads(line) for line in file if line.strip())
        return
    environment, folder = dict(os.environ), Path.cwd()
    if mapping != CURRENT:
        if (place / "services" / "normalizer").is_dir():
            folder = place.resolve()  # the folder in which Python starts comes first when it looks for modules
            environment["PYTHONPATH"] = str(folder)
        elif any(place.glob("*.toml")):
            environment["HEALTHCARE_RECORDS_MAPPINGS"] = str(place.resolve())
        else:
            raise NoMapping(f"{mapping}: neither lines of normalize, nor a checkout, nor a folder of mapping tables")
    given = {str(one.resolve()): str(one) for one in paths}
    command = [sys.executable, "-m", "services.cli", "normalize", "--provider", provider, *given]
    with subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # asked for above
        for written in process.stdout:
            line: Line = orjson.loads(written)
            known = next(one for one in given if line["input"].startswith(one))
            yield {**line, "input": given[known] + line["input"].removeprefix(known)}
    if process.returncode:
        raise NoMapping(f"{mapping}: normalize ended with {process.returncode}")


@dataclass(slots=True)
class Change:
    """What happens to one kind of field."""

    patients: set[str] = field(default_factory=set)
    documents: dict[str, None] = field(default_factory=dict)  # inputs, in order

    def as_json(self, name: str) -> Line:
        """The counts and the inputs."""
        return {"field": name, "patients": len(self.patients), "documents": len(self.documents), "inputs": list(self.documents)}


def compare(old: Iterable[Line], new: Iterable[Line]) -> list[Line]:
    """The kinds of fields that differ (`patients[].birth_date`), those that touch most patients first."""
    before, after = _by_input(old), _by_input(new)
    changes: dict[str, Change] = defaultdict(Change)
    for key in dict.fromkeys([*before, *after]):
        one, other = before.get(key), after.get(key)
        names = Counter(_kind(name) for name, _ in differences(one, other, "")) if one and other else {"(input)": 1}
        for name in names:
            change = changes[name]
            change.documents[f"{key[0]} [{key[1]}]"] = None
            change.patients |= _patients(one) | _patients(other) or {f"{key[0]} [{key[1]}]"}
    ranked = sorted(changes.items(), key=lambda one: (-len(one[1].patients), -len(one[1].documents), one[0]))
    return [change.as_json(name) for name, change in ranked]


def _by_input(lines: Iterable[Line]) -> dict[tuple[str, int], Line]:
    return {(one["input"], one["index"]): {name: value for name, value in one.items() if name not in NOT_COMPARED} for one in lines}


def _kind(path: str) -> str:
    """A field without the numbers of what repeats."""
    return "".join("[]" + part.partition("]")[2] if number else part for number, part in enumerate(path.split("[")))


def _patients(line: Line | None) -> set[str]:
    return {one["patient_key"] for one in line["patients"]} if line else set()


def print_comparison(changes: list[Line], console: Console) -> None:
    """The ranking, with the first documents of each field."""
    if not changes:
        console.print("nothing differs")
        return
    console.print(f"{'patients':>8}  {'documents':>9}  field", highlight=False)
    for one in changes[:MAX_FIELDS]:
        console.print(f"{one['patients']:>8}  {one['documents']:>9}  {one['field']}", markup=False, highlight=False, soft_wrap=True)
        for name in one["inputs"][:MAX_DOCUMENTS]:
            console.print(f"{'':>21}{name}", markup=False, highlight=False, soft_wrap=True)
        if len(one["inputs"]) > MAX_DOCUMENTS:
            console.print(f"{'':>21}… and {len(one['inputs']) - MAX_DOCUMENTS} more", highlight=False)
    if len(changes) > MAX_FIELDS:
        console.print(f"… and {len(changes) - MAX_FIELDS} more fields", highlight=False)
