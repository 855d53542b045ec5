"""What was done and what of it is committed, the same for both engines. Pure."""

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

Place = tuple[str, int]  # topic, partition


class Kept(Protocol):
    """A partition's entry in the books."""

    committed: int | None  # the mark that the broker has
    dirty_since: float | None  # when the mark was first seen ahead of it

    @property
    def mark(self) -> int | None:
        """The first offset not done; None when that is not known."""
        ...


K = TypeVar("K", bound=Kept)


def moved_marks(kept: Iterable[tuple[Place, K]], now: float) -> dict[Place, int]:
    """The marks that have moved since the last commit."""
    found: dict[Place, int] = {}
    for place, one in kept:
        mark = one.mark
        if mark is not None and mark != one.committed:
            found[place] = mark
            if one.dirty_since is None:
                one.dirty_since = now
    return found


def note_committed(kept: Mapping[Place, K], marks: Mapping[Place, int]) -> None:
    """The broker has these."""
    for place, mark in marks.items():
        one = kept.get(place)
        if one is not None:
            one.committed = mark
            one.dirty_since = None


def commit_age(kept: Iterable[K], now: float) -> float:
    """The age of the oldest work that is done and not committed."""
    return max((now - one.dirty_since for one in kept if one.dirty_since is not None), default=0.0)
