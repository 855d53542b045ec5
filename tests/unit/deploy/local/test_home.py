"""The state folder: owned by one system, of a known format, with room; otherwise a sentence, and nothing is touched."""

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest

from deploy.local.home import Home
from shared.errors import Misconfigured

# takes the folder, starts a process that holds it too, and dies at once as if it had been killed
KILLED_SUPERVISOR = """
import os, sys
from pathlib import Path
from deploy.local.home import Home
from deploy.local.processes import Child
home = Home.open(Path(sys.argv[1]))
Child([sys.executable, "-c", "import time; time.sleep(60)"], home.path / "logs" / "sleep.log", held=(home.lock,))
os.kill(os.getpid(), 9)
"""


def test_a_folder_is_made_with_its_parents_for_this_account_alone(tmp_path: Path) -> None:
    with Home.open(tmp_path / "a" / "b") as home:
        content = home.path / "content"

        assert stat.S_IMODE(content.stat().st_mode) == 0o700


def test_the_key_is_made_once_and_kept_secret(tmp_path: Path) -> None:
    with Home.open(tmp_path) as home:
        first = home.api_key()

        assert first == home.api_key()
        assert len(first) >= 32
        assert stat.S_IMODE((tmp_path / "carepatron_api_key").stat().st_mode) == 0o600


def test_a_second_system_is_told_who_runs(tmp_path: Path) -> None:
    with Home.open(tmp_path), pytest.raises(Misconfigured, match=rf"another healthcare-records is running here \(pid {os.getpid()}"):
        Home.open(tmp_path)

    Home.open(tmp_path).__exit__(None, None, None)


def test_what_a_killed_run_has_left_is_waited_for(tmp_path: Path) -> None:
    said: list[str] = []
    subprocess.run([sys.executable, "-c", KILLED_SUPERVISOR, str(tmp_path)], check=False)
    began = time.monotonic()

    with Home.open(tmp_path, said.append):
        pass

    assert time.monotonic() - began < 10


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    with pytest.raises(Misconfigured, match=r"thesis\.txt"):
        Home.open(tmp_path)

    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("marker", ['{"format": 99}', "{", "[]", "\x00\x01"])
def test_an_unknown_format_is_refused_and_left_alone(tmp_path: Path, marker: str) -> None:
    (tmp_path / "format.json").write_text(marker)

    with pytest.raises(Misconfigured, match="Nothing was changed"):
        Home.open(tmp_path)

    assert marker == (tmp_path / "format.json").read_text()


def test_a_known_format_is_taken_again(tmp_path: Path) -> None:
    for _ in range(2):
        with Home.open(tmp_path):
            pass

    assert json.loads((tmp_path / "format.json").read_text()) == {"format": 1}


def test_a_file_in_place_of_the_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")

    with pytest.raises(Misconfigured, match="cannot be written"):
        Home.open(tmp_path / "home")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    with pytest.raises(Misconfigured, match="cannot be written"):
        Home.open(tmp_path / "home")


def test_a_full_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10 << 30, 10 << 30, 100 << 20))

    with pytest.raises(Misconfigured, match="has 100 MiB left, 500 are needed"):
        Home.open(tmp_path)
