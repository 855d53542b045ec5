"""Request bodies within bounds: of one request, of all requests together, and of time."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from services.ingest.settings import Settings
from shared.problems import RETRY_AFTER_SECONDS, Problem, unavailable

BUFFERED_BYTES = 256 << 20  # bodies held at once, over all requests


class Bodies:
    """Reads bodies within bounds: of one request, of all requests together, and of time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open = 0
        self._bytes = 0

    def read(self, request: Request) -> "_Body":
        """The body, for as long as the context lasts; raises Problem."""
        return _Body(request, self)

    def enter(self) -> None:
        """Let one more request in."""
        if self._open >= self._settings.max_requests:
            raise unavailable(RETRY_AFTER_SECONDS)
        self._open += 1

    def leave(self, held: int) -> None:
        """A request is over."""
        self._open -= 1
        self._bytes -= held

    def hold(self, size: int) -> None:
        """Count bytes that are kept."""
        self._bytes += size
        if self._bytes > BUFFERED_BYTES:
            raise unavailable(RETRY_AFTER_SECONDS)

    @property
    def settings(self) -> Settings:
        """The bounds."""
        return self._settings


class _Body:
    """One body being read."""

    def __init__(self, request: Request, bodies: Bodies) -> None:
        self._request = request
        self._bodies = bodies
        self._held = 0

    async def __aenter__(self) -> bytes:
        self._bodies.enter()
        try:
            return await self._read()
        except BaseException:
            self._bodies.leave(self._held)
            raise

    async def __aexit__(self, *_: object) -> None:
        self._bodies.leave(self._held)

    async def _read(self) -> bytes:
        settings = self._bodies.settings
        too_large = Problem(413, "content_too_large", f"Documents may have {settings.max_bytes} bytes.", headers={"connection": "close"})
        headers = self._request.headers
        declared = headers.get("content-length", "")
        if declared and "transfer-encoding" in headers:
            # RFC 9112, 6.3: two lengths may mean a smuggled request
            raise Problem(
                400, "invalid_header", "Content-Length and Transfer-Encoding exclude each other.", headers={"connection": "close"}
            )
        if declared.isdecimal() and int(declared[:20]) > settings.max_bytes:
            raise too_large
        chunks: list[bytes] = []
        try:
            async with asyncio.timeout(settings.request_seconds):
                async for chunk in self._request.stream():
                    self._held += len(chunk)
                    self._bodies.hold(len(chunk))
                    if self._held > settings.max_bytes:
                        raise too_large
                    chunks.append(chunk)
        except TimeoutError:
            raise Problem(408, "too_slow", "The body did not arrive in time.", headers={"connection": "close"}) from None
        except ClientDisconnect:
            raise Problem(400, "incomplete", "The body ended early.") from None
        return b"".join(chunks)
