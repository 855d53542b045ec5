"""The state folder: one system at a time, a format that is known, a disk with room. Nothing in it is ever deleted by a start."""

import errno
import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.jars import silent
from deploy.local.processes import is_alive
from deploy.local.runtime import LOCK
from shared.errors import Misconfigured

FORMAT = 1
MARKER = "format.json"
FOLDERS = ("content", "kafka", "logs", "postgres", "sandbox")
OURS = {*FOLDERS, MARKER, LOCK, "runtime.json", "carepatron_api_key"}
FREE_MEBIBYTES = 500  # needed to start
WAIT_SECONDS = 45.0  # for the processes of a run whose supervisor was killed


class Home:
    """The folder while this process owns it. Processes that hold `lock` too keep it owned until they are gone."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self.lock = lock

    @classmethod
    def open(cls, path: Path, say: Callable[[str], None] = silent) -> Self:
        """Own the folder, made when it is not there. Raises Misconfigured with a sentence for each way in which it cannot be used."""
        path = path.resolve()
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Misconfigured(
                f"{path} cannot be written ({error.strerror}): make it writable, or set HEALTHCARE_RECORDS_HOME to another folder"
            ) from error
        try:
            _take(lock, path, say)
            _check_format(path)
            _check_space(path)
            for name in FOLDERS:
                (path / name).mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            os.close(lock)
            raise Misconfigured(
                disk_sentence(path) if error.errno == errno.ENOSPC else f"{path} cannot be used ({error.strerror})"
            ) from error
        except Misconfigured:
            os.close(lock)
            raise
        return cls(path, lock)

    def api_key(self) -> str:
        """The key between the writer and the sandbox, made once."""
        file = self.path / "carepatron_api_key"
        if not file.is_file():
            fresh = file.with_suffix(".new")
            fresh.unlink(missing_ok=True)
            fresh.touch(mode=0o600)
            fresh.write_text(secrets.token_urlsafe(32))
            fresh.replace(file)
        return file.read_text().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self.lock)


def free_mebibytes(path: Path) -> int:
    """Room on the folder's disk."""
    return shutil.disk_usage(path).free >> 20


def disk_sentence(path: Path) -> str:
    """What to tell about a full disk."""
    return f"the disk of {path} is full ({free_mebibytes(path)} MiB free): make room and start again; nothing was deleted"


def _take(lock: int, path: Path, say: Callable[[str], None]) -> None:
    """Take the lock; wait only for what a killed supervisor has left, which stops by itself."""
    patience = time.monotonic() + 1.0  # other commands look at the lock for a moment
    has_said = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            owner = os.pread(lock, 32, 0).decode().strip()
        if time.monotonic() > patience:
            if is_alive(owner) or has_said:
                raise Misconfigured(
                    f"another healthcare-records is running here (pid {owner or 'unknown'}, folder {path}): "
                    "use it, stop it, or set HEALTHCARE_RECORDS_HOME to another folder"
                )
            say("waiting for the processes of a run that was killed")
            has_said = True
            patience += WAIT_SECONDS
        time.sleep(0.05)
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)


def _check_format(path: Path) -> None:
    """Mark a new folder, refuse one that is not ours or was made by a version that we do not know."""
    marker = path / MARKER
    if not marker.exists():
        strangers = sorted(one.name for one in path.iterdir() if one.name not in OURS and not one.name.startswith("."))
        if strangers:
            raise Misconfigured(
                f"{path} holds other things ({strangers[0]}) and was not made by healthcare-records: "
                "set HEALTHCARE_RECORDS_HOME to a new folder"
            )
        fresh = path / f".{MARKER}.new"
        fresh.write_text(json.dumps({"format": FORMAT}))
        fresh.replace(marker)
        return
    try:
        found = json.loads(marker.read_text())["format"]
    except (ValueError, KeyError, TypeError):
        found = "unreadable"
    if found != FORMAT:
        raise Misconfigured(
            f"{path} has the format {found}, this version knows {FORMAT}. Nothing was changed; "
            "use the version that made it, or set HEALTHCARE_RECORDS_HOME to another folder"
        )


def _check_space(path: Path) -> None:
    """Refuse to start on a disk that is about to be full."""
    if free_mebibytes(path) < FREE_MEBIBYTES:
        raise Misconfigured(
            f"the disk of {path} has {free_mebibytes(path)} MiB left, {FREE_MEBIBYTES} are needed: "
            "make room, or set HEALTHCARE_RECORDS_HOME to a folder on another disk"
        )
