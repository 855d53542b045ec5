"""The sandbox's disk: an append-only journal of changes and a file of contents. What was acknowledged survives a kill of the process."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from shared.errors import Misconfigured


class Full(Exception):
    """The disk took no more. Nothing was kept."""


class Journal:
    """Each change is one line, written to the operating system before the request is answered; replayed at start.

    Raises Misconfigured when the folder cannot be used, serves another sandbox, or holds a journal that was damaged.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lines = os.open(folder / "journal.ndjson", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise Misconfigured(f"{folder} cannot be written") from error
        try:
            fcntl.flock(self._lines, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lines)
            raise Misconfigured(f"{folder} is in use by another sandbox") from error
        self._contents = os.open(folder / "contents.bin", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._folder = folder
        self._is_closed = False

    def replay(self) -> Iterator[dict[str, Any]]:
        """Every change in order; a line cut off by a full disk or a power failure is removed, it was never acknowledged."""
        whole = 0
        with os.fdopen(os.dup(self._lines), "rb") as lines:
            lines.seek(0)
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                try:
                    yield orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    raise Misconfigured(f"{self._folder}/journal.ndjson is damaged at byte {whole}") from error
                whole += len(line)
        os.ftruncate(self._lines, whole)

    def append(self, change: dict[str, Any]) -> None:
        """Write one change. Raises Full."""
        _write_all(self._lines, orjson.dumps(change, option=orjson.OPT_APPEND_NEWLINE))

    def keep(self, content: bytes) -> int:
        """Write a content; returns its position. Raises Full."""
        return _write_all(self._contents, content)

    def content(self, position: int, size: int) -> bytes:
        """A content as it was kept."""
        return os.pread(self._contents, size, position)

    def close(self) -> None:
        """Give the files back."""
        if not self._is_closed:
            self._is_closed = True
            os.close(self._lines)
            os.close(self._contents)


def _write_all(file: int, data: bytes) -> int:
    """Write everything at the end, or nothing; returns where it begins."""
    begin, left = os.fstat(file).st_size, memoryview(data)
    try:
        while left:
            left = left[os.write(file, left) :]
    except OSError as error:
        os.ftruncate(file, begin)
        raise Full from error
    return begin
