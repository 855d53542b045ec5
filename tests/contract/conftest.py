"""The sandbox for contract tests: one process for the session, an account of its own for each test."""

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.writing_fakes import RunningSandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[RunningSandbox]:
    """The sandbox on a real socket."""
    with tempfile.TemporaryDirectory(prefix="sandbox-") as folder:
        running = RunningSandbox(Path(folder))
        running.start()
        try:
            yield running
        finally:
            running.kill()


@pytest.fixture
def account() -> str:
    """An account that no other test uses."""
    return uuid.uuid4().hex
