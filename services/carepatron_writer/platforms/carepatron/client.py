"""One account's HTTP: paced, bounded in time and size, one refresh of the key for all, no redirects, no cookies. Knows no documents."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import httpx
import orjson
from httpx_aiohttp import AiohttpTransport

from services.carepatron_writer.platforms.carepatron.answers import CAUGHT, Retry, Said, classify, classify_error, outage, retry_after, said
from services.carepatron_writer.platforms.pace import Pace
from services.carepatron_writer.platforms.port import Answer
from services.carepatron_writer.platforms.profile import Profile
from shared.errors import Misconfigured, Unavailable
from shared.metrics import PLATFORM_REQUESTS

KEEPALIVE_SECONDS = 15.0
STREAM_BYTES = 512 << 10  # larger bodies are sent in pieces
PIECE_BYTES = 128 << 10


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: what it means (None: success), and its JSON object."""

    meaning: Answer | Retry | None
    said: Said
    body: dict[str, Any]
    etag: str | None
    result: str | None  # X-Result


class ApiKey:
    """The account's key, from a file that may be replaced while we run, or a fixed text."""

    def __init__(self, text: str | None, file: Path | None) -> None:
        self._file = file
        self._lock = asyncio.Lock()
        self.refreshes = 0
        self.value = self._read() if file else (text or "")
        if not self.value.isascii() or not self.value.isprintable() or not self.value:
            raise Misconfigured("CAREPATRON_API_KEY or CAREPATRON_API_KEY_FILE must hold the account's key")

    async def refresh(self, refused: str) -> bool:
        """After a 401: True when there is another key than the refused one. One refresh serves all who were refused."""
        async with self._lock:
            if self.value != refused:
                return True
            if self._file is None:
                return False
            self.refreshes += 1
            self.value = await asyncio.to_thread(self._read)
            return self.value != refused

    def _read(self) -> str:
        try:
            return self._file.read_text("ascii").strip() if self._file else self.value
        except (OSError, UnicodeDecodeError) as error:
            raise Misconfigured("CAREPATRON_API_KEY_FILE cannot be read") from error


class Body(httpx.AsyncByteStream):
    """A large body in pieces; may be read again for a second try."""

    def __init__(self, parts: tuple[bytes, ...]) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The pieces."""
        for part in self._parts:
            for place in range(0, len(part), PIECE_BYTES):
                yield part[place : place + PIECE_BYTES]


class CarepatronClient:
    """Calls operations of one account. Raises Unavailable, or OutcomeUnknown for a write that may have happened."""

    def __init__(
        self,
        base_url: str,
        provider_id: str,
        key: ApiKey,
        profile: Profile,
        *,
        target: str = "carepatron",
        transport: httpx.AsyncBaseTransport | None = None,
        pace: Pace | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._key = key
        self._profile = profile
        self._now = now
        self._target = target  # what waits when the account is away: the destination's id
        self._root = f"{checked_url(base_url)}/providers/{quote(provider_id, safe='')}"
        self._pace = pace or Pace(target, requests_per_minute=profile.requests_per_minute, in_flight=profile.requests_in_flight)
        self._http = httpx.AsyncClient(
            transport=transport or AiohttpTransport(client=lambda: _session(profile)),
            headers={"accept": "application/json", "accept-encoding": "identity", "user-agent": "healthcare-records"},
            timeout=profile.timeout_seconds,
            follow_redirects=False,
        )

    async def aclose(self) -> None:
        """Close connections."""
        await self._http.aclose()

    def outage(self, retry: Retry, why: str, *, is_write: bool, retry_after_seconds: float | None = None) -> Unavailable:
        """An outage of this account."""
        return outage(self._target, retry, why, is_write=is_write, retry_after_seconds=retry_after_seconds)

    async def call(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        is_write: bool,
        json: Any = None,
        parts: tuple[bytes, ...] = (),
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """One operation. `parts` are the pieces of a body that is no JSON."""
        content = (orjson.dumps(json),) if json is not None else parts
        sent = {**({"content-type": "application/json"} if json is not None else {}), **(headers or {})}
        key = self._key.value
        reply = await self._send(operation, method, path, content, {**sent, "cp-api-key": key}, is_write)
        if reply.said.status == 401 and await self._key.refresh(key):
            reply = await self._send(operation, method, path, content, {**sent, "cp-api-key": self._key.value}, is_write)
        if isinstance(reply.meaning, Retry) and reply.said.status not in (409, 412):
            raise self.outage(reply.meaning, str(reply.said.status), is_write=is_write)
        return reply

    async def _send(
        self, operation: str, method: str, path: str, parts: tuple[bytes, ...], headers: dict[str, str], is_write: bool
    ) -> Reply:
        size = sum(map(len, parts))
        content: bytes | Body | None = None
        if parts:
            content = b"".join(parts) if size <= STREAM_BYTES else Body(parts)
            headers["content-length"] = str(size)
        request = self._http.build_request(method, self._root + path, content=content, headers=headers)
        status = "none"
        try:
            async with self._pace.turn(), asyncio.timeout(self._profile.timeout_seconds):
                response = await self._http.send(request, stream=True)
                try:
                    status = str(response.status_code)
                    data = await self._read(response)
                finally:
                    await response.aclose()
        except CAUGHT as error:
            raise self.outage(classify_error(error), type(error).__name__, is_write=is_write) from error
        finally:
            PLATFORM_REQUESTS.labels(self._profile.name, operation, status).inc()
        return self._understand(response, data, is_write)

    async def _read(self, response: httpx.Response) -> bytes | None:
        """The body; None when it is larger than an answer may be, or packed although we asked for plain."""
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            return None
        data = bytearray()
        async for piece in response.aiter_raw():
            data += piece
            if len(data) > self._profile.max_answer_bytes:
                return None
        return bytes(data)

    def _understand(self, response: httpx.Response, data: bytes | None, is_write: bool) -> Reply:
        """What the answer means. Raises for pauses asked for, and for a success whose body is broken: only reading tells what happened."""
        try:
            body = orjson.loads(data) if data else None
        except orjson.JSONDecodeError:
            body = None
        told = said(response.status_code, body)
        meaning = classify(told)
        wish = retry_after(response.headers.get(self._profile.retry_header), now=self._now(), cap_seconds=self._profile.retry_cap_seconds)
        if meaning is Retry.LIMITED:
            pause = self._profile.retry_default_seconds if wish is None else wish
            self._pace.pause(pause)
            raise self.outage(meaning, "429", is_write=is_write, retry_after_seconds=pause)
        if isinstance(meaning, Retry) and wish is not None:
            raise self.outage(meaning, str(told.status), is_write=is_write, retry_after_seconds=wish)
        if meaning is None and not isinstance(body, dict):
            raise self.outage(Retry.UNKNOWN, "broken answer", is_write=is_write)
        return Reply(meaning, told, body if isinstance(body, dict) else {}, response.headers.get("etag"), response.headers.get("x-result"))


def checked_url(text: str) -> str:
    """The base address without its last slash. Raises Misconfigured: plain HTTP is for this machine only, keys travel in it."""
    parts = urlsplit(text)
    is_local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if parts.scheme not in ("https", "http") or not parts.hostname or (parts.scheme == "http" and not is_local):
        raise Misconfigured("CAREPATRON_BASE_URL must be an https:// address (http:// on this machine only)")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise Misconfigured("CAREPATRON_BASE_URL must hold neither a user, a password, a query nor a fragment")
    return text.rstrip("/")


def _session(profile: Profile) -> aiohttp.ClientSession:
    """aiohttp under httpx: measured faster (docs/decisions/0002-http-transport.md)."""
    connector = aiohttp.TCPConnector(
        limit=profile.requests_in_flight, keepalive_timeout=KEEPALIVE_SECONDS, ssl=httpx.create_ssl_context(trust_env=False)
    )
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
    session._retry_connection = False  # a PUT whose connection broke is ours to read back, never sent again behind our back
    return session
