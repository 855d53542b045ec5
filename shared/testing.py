"""Fakes that keep the promises of the real adapters, for tests."""

from shared.content_store import ContentMissing, digest_in, reference_to
from shared.errors import Unavailable
from shared.identity import digest


class MemoryContentStore:
    """A content store in memory; `is_down` makes it answer as during an outage."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.puts = 0
        self.is_down = False

    async def put(self, data: bytes) -> str:
        """Keep the bytes under their digest."""
        self._check()
        ref = reference_to(digest(data))
        self.contents[ref] = data
        self.puts += 1
        return ref

    async def get(self, ref: str) -> bytes:
        """The bytes of a reference; raises ContentMissing."""
        self._check()
        if digest_in(ref) is None or ref not in self.contents or reference_to(digest(self.contents[ref])) != ref:
            raise ContentMissing(ref)
        return self.contents[ref]

    def _check(self) -> None:
        if self.is_down:
            raise Unavailable("content-store", "down")
