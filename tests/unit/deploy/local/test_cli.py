"""Exit codes and sentences of `up` and `demo`."""

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from deploy.local import cli
from deploy.local.runtime import Runtime
from deploy.local.system import INTERRUPTED
from shared.errors import Misconfigured

RUNTIME = Runtime(
    pid=1,
    home="home",
    started="2026-11-23T14:00:00+00:00",
    dashboard_url="http://127.0.0.1:8080/",
    addresses={"ingest": "http://127.0.0.1:8081"},
    environment={"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092"},
)


class NotWaiting:
    """Stands in for an event that nobody sets."""

    async def wait(self) -> None:
        """Come back at once."""


def run_up(home: Path, monkeypatch: pytest.MonkeyPatch, end: int | Exception, *, reaches_ready: bool = True) -> tuple[int, str]:
    """`up` on a system that ends in a given way; its exit code and what it says."""

    async def run_system(_home: Any, _settings: Any, _screen: Any, body: Any) -> int:
        if reaches_ready:
            await body(RUNTIME)
        if isinstance(end, Exception):
            raise end
        return end

    monkeypatch.setenv("HEALTHCARE_RECORDS_HOME", str(home))
    monkeypatch.setattr(cli, "run_system", run_system)
    monkeypatch.setattr(cli.asyncio, "Event", NotWaiting)
    app = typer.Typer()
    app.command()(cli.up)
    result = CliRunner().invoke(app)
    return result.exit_code, " ".join(result.output.split())


def test_ctrl_c_on_a_running_system_is_a_good_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = run_up(tmp_path, monkeypatch, INTERRUPTED)

    assert code == 0
    assert "POST http://127.0.0.1:8081/v1/documents" in said


def test_ctrl_c_while_starting_is_told_by_the_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_up(tmp_path, monkeypatch, INTERRUPTED, reaches_ready=False)[0] == INTERRUPTED


def test_a_trouble_of_a_running_system_is_a_sentence_and_no_good_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = run_up(tmp_path, monkeypatch, Misconfigured("the disk is full"))

    assert code == 1
    assert "✗ the disk is full" in said


def test_a_full_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = run_up(tmp_path, monkeypatch, OSError(28, "No space left on device"))

    assert code == 1
    assert "is full" in said


def test_a_folder_that_cannot_be_used_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    code, said = run_up(tmp_path, monkeypatch, 0)

    assert code == 1
    assert "was not made by healthcare-records" in said
