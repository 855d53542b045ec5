"""What opens an account, and how it is renewed: one renewal serves everybody who was refused."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from shared.errors import Misconfigured


class Credentials(Protocol):
    """The headers that open an account."""

    async def headers(self) -> Mapping[str, str]:
        """What to send now. Raises Unavailable when it cannot be had."""

    async def renew(self, refused: Mapping[str, str]) -> bool:
        """After a 401: True when there is something else than what was refused."""


class ApiKey:
    """The account's key, from a file that may be replaced while we run, or a fixed text."""

    def __init__(self, text: str | None, file: Path | None, *, header: str = "cp-api-key", setting: str = "CAREPATRON_API_KEY") -> None:
        self._file = file
        self._header = header
        self._setting = setting
        self._lock = asyncio.Lock()
        self.refreshes = 0
        self.value = self._read() if file else (text or "")
        if not self.value.isascii() or not self.value.isprintable() or not self.value:
            raise Misconfigured(f"{setting} or {setting}_FILE must hold the account's key")

    async def headers(self) -> Mapping[str, str]:
        """The key in its header."""
        return {self._header: self.value}

    async def renew(self, refused: Mapping[str, str]) -> bool:
        """Read the file again. Raises Misconfigured when it cannot be read."""
        async with self._lock:
            if self.value != refused.get(self._header):
                return True
            if self._file is None:
                return False
            self.refreshes += 1
            self.value = await asyncio.to_thread(self._read)
            return self.value != refused.get(self._header)

    def _read(self) -> str:
        try:
            return self._file.read_text("ascii").strip() if self._file else self.value
        except (OSError, UnicodeDecodeError) as error:
            raise Misconfigured(f"{self._setting}_FILE cannot be read") from error
