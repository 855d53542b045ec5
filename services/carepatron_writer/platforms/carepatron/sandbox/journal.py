"""The sandbox's disk: an append-only journal of changes and a file of contents. What was acknowledged survives a kill of the process."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from shared.errors import Misconfigured


class Journal:
    """Each change is one line, written to the operating system before the request is answered; replayed at start."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lines = os.open(folder / "journal.ndjson", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._lines, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lines)
            raise Misconfigured(f"{folder} is in use by another sandbox") from error
        self._contents = os.open(folder / "contents.bin", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._end = os.fstat(self._contents).st_size

    def replay(self) -> Iterator[dict[str, Any]]:
        """Every change in order; a line cut off by a full disk or a power failure is removed, it was never acknowledged."""
        whole = 0
        with os.fdopen(os.dup(self._lines), "rb") as lines:
            lines.seek(0)
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                yield orjson.loads(line)
                whole += len(line)
        os.ftruncate(self._lines, whole)

    def append(self, change: dict[str, Any]) -> None:
        """Write one change."""
        _write_all(self._lines, orjson.dumps(change, option=orjson.OPT_APPEND_NEWLINE))

    def keep(self, content: bytes) -> int:
        """Write a content; returns its position."""
        position = self._end
        _write_all(self._contents, content)
        self._end += len(content)
        return position

    def content(self, position: int, size: int) -> bytes:
        """A content as it was kept."""
        return os.pread(self._contents, size, position)

    def close(self) -> None:
        """Give the files back."""
        os.close(self._lines)
        os.close(self._contents)


def _write_all(file: int, data: bytes) -> None:
    """Write everything, however many calls it takes."""
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]
