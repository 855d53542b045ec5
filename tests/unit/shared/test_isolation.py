"""The process that opens hostile bytes: what it knows and what it may do to the service."""

import asyncio
import os
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from shared.isolation import Defect, Isolated, Stopped

R = TypeVar("R")


def environment() -> dict[str, str]:
    """What the process was told."""
    return dict(os.environ)


def end() -> None:
    """As a library does that writes where it should not."""
    os.abort()


def fail_with(content: str) -> None:
    """A defect whose text quotes content."""
    raise ValueError(content)


def called(function: Callable[..., R], *arguments: Any) -> R:
    """One call in a process of its own."""

    async def run() -> R:
        apart = Isolated(function, seconds=20)
        try:
            return await apart(*arguments)
        finally:
            await apart.aclose()

    return asyncio.run(run())


def test_the_process_knows_no_keys_and_no_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CAREPATRON_API_KEY", "DATABASE_URL", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "HOSTILE-MARKER")
    known = called(environment)

    assert "PATH" in known
    assert not [name for name, value in known.items() if "HOSTILE-MARKER" in value]


def test_a_process_that_ends_is_one_lost_call() -> None:
    async def run() -> int:
        apart, lost = Isolated(end, seconds=20), 0
        for _ in range(2):
            try:
                await apart()
            except Stopped:
                lost += 1
        await apart.aclose()
        return lost

    assert asyncio.run(run()) == 2


def test_a_defect_comes_back_without_its_words() -> None:
    with pytest.raises(Defect) as defect:
        called(fail_with, "HOSTILE-MARKER")

    assert "ValueError" in str(defect.value)
    assert "MARKER" not in str(defect.value)
