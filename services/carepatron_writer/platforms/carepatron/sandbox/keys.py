"""The key that opens the sandbox: given, or in a file that may change; a key may expire before that."""

import hmac
from pathlib import Path

from shared.errors import Misconfigured


class AccountKey:
    """One key at a time. A key that expired opens nothing; the file is read again when a key is presented that is not the known one."""

    def __init__(self, key: str, file: Path | None = None) -> None:
        self._file = file
        self._key = key.encode()
        self._expired: set[bytes] = set()
        if file is not None:
            self._key = read_key(file).encode()

    def opens(self, presented: str) -> bool:
        """Whether this key is the one."""
        given = presented.encode("latin-1", "replace")
        if self._is_current(given):
            return True
        if self._file is not None:
            try:
                self._key = read_key(self._file).encode()
            except Misconfigured:  # it is just being written
                return False
        return self._is_current(given)

    def expire(self) -> None:
        """The key opens nothing any more; another one is needed."""
        self._expired.add(self._key)

    def change(self, key: str) -> None:
        """Another key from now on."""
        self._key = key.encode()

    def _is_current(self, given: bytes) -> bool:
        return hmac.compare_digest(given, self._key) and given not in self._expired


def read_key(file: Path) -> str:
    """The key in a file. Raises Misconfigured."""
    try:
        return file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured("CAREPATRON_API_KEY_FILE cannot be read") from error
