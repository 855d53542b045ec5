"""A cluster id is never taken for an option of the tool that formats the storage."""

import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from deploy.local import kafka
from deploy.local.kafka import LocalKafka


def test_a_cluster_id_does_not_start_like_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = iter([uuid.UUID(int=0xF8 << 120), uuid.UUID(int=1)])  # the first one starts with a dash
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        (tmp_path / "data.new").mkdir()
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(kafka.uuid, "uuid4", lambda: next(ids))
    monkeypatch.setattr(kafka.subprocess, "run", run)

    LocalKafka(tmp_path)._format()

    assert commands[0][commands[0].index("-t") + 1] == "AAAAAAAAAAAAAAAAAAAAAQ"
