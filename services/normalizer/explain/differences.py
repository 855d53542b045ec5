"""In which fields two readings differ."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

Touched = tuple[str, bool]  # a field, and whether what holds it is gone


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


def differences(before: Any, after: Any, path: str) -> Iterator[Touched]:
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
