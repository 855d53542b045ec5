"""The word that a running system leaves for other commands."""

import stat
from dataclasses import replace
from pathlib import Path

from deploy.local.home import Home
from deploy.local.runtime import FILE, Runtime, environment, read_runtime, remove_runtime, write_runtime

RUNTIME = Runtime(
    pid=1,
    home="home",
    started="2026-11-23T14:00:00+00:00",
    dashboard_url="http://127.0.0.1:8080/",
    addresses={"audit": "http://127.0.0.1:8080"},
    environment={"DATABASE_URL": "postgresql://postgres:secret@127.0.0.1:5433/healthcare_records"},
)


def test_a_running_system_is_found(tmp_path: Path) -> None:
    with Home.open(tmp_path):
        write_runtime(tmp_path, RUNTIME)

        assert read_runtime(tmp_path) == RUNTIME
        assert RUNTIME.environment == environment(RUNTIME)


def test_a_killed_system_is_not_found(tmp_path: Path) -> None:
    with Home.open(tmp_path):
        write_runtime(tmp_path, RUNTIME)

    assert read_runtime(tmp_path) is None


def test_a_stopped_system_is_not_found(tmp_path: Path) -> None:
    with Home.open(tmp_path):
        write_runtime(tmp_path, RUNTIME)
        remove_runtime(tmp_path)

        assert read_runtime(tmp_path) is None


def test_damaged_word_is_no_word(tmp_path: Path) -> None:
    with Home.open(tmp_path):
        for text in ("", "{", "[]", '{"pid": 1}'):
            (tmp_path / FILE).write_text(text)

            assert read_runtime(tmp_path) is None


def test_no_folder_is_no_system(tmp_path: Path) -> None:
    assert read_runtime(tmp_path / "nowhere") is None


def test_secrets_are_for_this_account_alone(tmp_path: Path) -> None:
    with Home.open(tmp_path):
        for _ in range(2):
            write_runtime(tmp_path, replace(RUNTIME, pid=2))

    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
