"""Which elements of a source each field of its reading comes from."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from services.normalizer.explain.variants import VARIANTS
from services.normalizer.offline import as_json
from services.normalizer.reading import read_content
from shared.canonical.reading import Format, ProviderProfile

DESCRIBED = ("patients", "documents")  # what of a reading is explained


@dataclass(slots=True)
class Sources:
    """Of one field: the paths whose values it shows, and those that decide whether it is there at all."""

    shows: list[str] = field(default_factory=list)
    decide: list[str] = field(default_factory=list)


def sources_of(content: bytes, format: Format, provider: ProviderProfile, progress: Callable[[], None] | None = None) -> dict[str, Sources]:
    """The sources by field of the result (`patients[0].name.family`); none for formats without named elements."""
    base = _described(content, format, provider)
    found = {path: Sources() for path in fields_of(base)}
    variants = VARIANTS.get(format)
    for variant in variants(content) if variants else ():
        for other in (variant.changed, variant.absent):
            touched = set(differences(base, _described(other, format, provider), "")) if other is not None else set()
            for name, is_gone in touched:
                sources = found.setdefault(name, Sources())
                (sources.decide if is_gone else sources.shows).append(variant.path)
            if touched:
                break
        if progress:
            progress()
    return found


def _described(content: bytes, format: Format, provider: ProviderProfile) -> dict[str, Any]:
    made = as_json(read_content(content, provider, format=format))
    return {name: made[name] for name in DESCRIBED}


def fields_of(value: Any, path: str = "") -> Iterator[str]:
    """The paths of the leaves that say anything."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from fields_of(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from fields_of(inner, f"{path}[{index}]")
    elif value is not None:
        yield path


def differences(before: Any, after: Any, path: str) -> Iterator[tuple[str, bool]]:
    """The fields that differ, and whether what holds them is gone. Of a list that only got longer: the list itself."""
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for name in before.keys() | after.keys():
            yield from differences(before.get(name), after.get(name), f"{path}.{name}" if path else name)
    elif isinstance(before, list) and isinstance(after, list):
        if len(before) == len(after):
            for index, (one, other) in enumerate(zip(before, after, strict=True)):
                yield from differences(one, other, f"{path}[{index}]")
            return
        gone = _gone(before, after)
        for index in gone:
            for name in fields_of(before[index], f"{path}[{index}]"):
                yield name, True
        if not gone:
            yield path, False
    elif isinstance(before, (dict, list)):
        for name in fields_of(before, path):
            yield name, True
    elif before is not None or after is not None:
        yield path, False


def _gone(before: list[Any], after: list[Any]) -> list[int]:
    """The places of the items that stand no more."""
    left = Counter(msgspec.json.encode(one) for one in after)
    gone = []
    for index, one in enumerate(before):
        written = msgspec.json.encode(one)
        if left[written]:
            left[written] -= 1
        else:
            gone.append(index)
    return gone
