"""`healthcare-records demo` as people run it: the whole system as processes of its own, documents in, a report out."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from deploy.local.cli import JSON_KEYS, SAMPLES
from deploy.local.ports import USUAL

ELSEWHERE = ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "CAREPATRON_BASE_URL", "CONTENT_STORE_URL")


def demo(home: Path, *paths: Path) -> dict[str, Any]:
    """Run it to its end; the report is all that stands on standard output."""
    variables = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    ports = {setting.upper(): "0" for setting, _ in USUAL.values()}
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "demo", "--exit", "--json", *map(str, paths)],
        env={**variables, **ports, "HEALTHCARE_RECORDS_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_every_sample_gets_its_outcome_once(state_folder: Path) -> None:
    samples = sum(1 for one in SAMPLES.glob("*/*") if one.is_file())

    first = demo(state_folder / "samples-home")
    again = demo(state_folder / "samples-home")

    assert list(first) == list(JSON_KEYS)
    assert first["published"] == again["published"] == samples
    assert first["in_flight"] == again["in_flight"] == 0
    assert first["books_balanced"]
    assert again["books_balanced"]
    assert first["outcomes"]["created"] > 0
    assert "created" not in again["outcomes"]
    assert "updated" not in again["outcomes"]


def test_folders_of_our_own_are_providers(state_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "north-clinic").mkdir()
    (tmp_path / "north-clinic" / "note.txt").write_text("Eats no fish.")
    (tmp_path / "letter.txt").write_text("Drinks oat milk.")

    report = demo(state_folder / "own-home", tmp_path)

    assert report["published"] == 2
    assert report["in_flight"] == 0
    assert report["books_balanced"]
