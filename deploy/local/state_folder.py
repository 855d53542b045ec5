"""The state folder: one system at a time, a known layout, room on the disk; otherwise a clear sentence and nothing touched."""

import errno
import fcntl
import os
import secrets
import shutil
from pathlib import Path
from typing import IO

from shared.errors import Misconfigured

LAYOUT = "healthcare-records state 1\n"  # changes when an older folder can no longer be used
MIN_FREE_BYTES = 500 << 20


class StateFolder:
    """The folder of one local system, held by a lock while it is in use."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    def open(self) -> None:
        """Take the folder. Raises Misconfigured when it is in use, foreign, broken, not writable, or the disk is full."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            self._check_layout()
            free = shutil.disk_usage(self.path).free
        except OSError as error:
            raise Misconfigured(f"{self.path} cannot be used: {_sentence(error)}") from error
        if free < MIN_FREE_BYTES:
            self.close()
            raise Misconfigured(
                f"the disk of {self.path} has {free >> 20} MiB left, {MIN_FREE_BYTES >> 20} MiB are needed: make room and start again"
            )

    def close(self) -> None:
        """Let go."""
        if self._lock:
            self._lock.close()
            self._lock = None

    def api_key_file(self) -> Path:
        """The sandbox's key, made once, readable by us alone."""
        file = self.path / "carepatron_api_key"
        if not file.is_file():
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as out:
                out.write(secrets.token_urlsafe(24))
        return file

    def _take_lock(self) -> None:
        lock = (self.path / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid = lock.read().strip() or "unknown"
            lock.close()
            raise Misconfigured(
                f"another healthcare-records is running on {self.path} (process {pid}): "
                "stop it, or set HEALTHCARE_RECORDS_HOME to another folder"
            ) from None
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _check_layout(self) -> None:
        marker = self.path / "LAYOUT"
        others = [one for one in self.path.iterdir() if one.name not in ("lock", "LAYOUT")]
        if not marker.exists():
            if others:
                self.close()
                raise Misconfigured(f"{self.path} holds something else ({others[0].name}): nothing was touched; choose an empty folder")
            marker.write_text(LAYOUT)
        elif marker.read_text(errors="replace") != LAYOUT:
            self.close()
            raise Misconfigured(
                f"{self.path} was made by another version or is damaged (LAYOUT): nothing was touched; move it away and start again"
            )


def _sentence(error: OSError) -> str:
    """What an error of the file system means."""
    if error.errno == errno.ENOSPC:
        return "the disk is full"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "it is not writable"
    return os.strerror(error.errno) if error.errno else type(error).__name__
