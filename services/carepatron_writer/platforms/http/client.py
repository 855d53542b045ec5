"""One account's HTTP, as its profile says: nothing that the firewall forbids, paced, bounded in time and size, no redirects, no cookies."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import httpx
import orjson
from httpx_aiohttp import AiohttpTransport

from services.carepatron_writer.platforms.http.answers import CAUGHT, Meanings, Retry, Said, classify_error, outage, said, wish_seconds
from services.carepatron_writer.platforms.http.credentials import Credentials
from services.carepatron_writer.platforms.http.limits import Limits
from services.carepatron_writer.platforms.port import Answer
from services.carepatron_writer.platforms.profile import Effect, Operation, Profile
from shared.errors import Misconfigured, Unavailable
from shared.metrics import PLATFORM_REQUESTS

KEEPALIVE_SECONDS = 15.0
STREAM_BYTES = 512 << 10  # larger bodies are sent in pieces
PIECE_BYTES = 128 << 10
STORAGE_FULL = 507


class SideEffectRefused(Exception):
    """The firewall: a call that the profile does not describe, or whose effects it does not allow. Nothing was sent."""

    def __init__(self, platform: str, operation: str, effect: str) -> None:
        super().__init__(f"{platform}: {operation}: {effect} is not allowed")
        self.operation = operation
        self.effect = effect


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: what it means (None: success), and what it holds."""

    meaning: Answer | Retry | None
    said: Said
    body: dict[str, Any]  # empty where the answer is no JSON object
    data: bytes
    headers: Mapping[str, str]  # names in lower case

    @property
    def etag(self) -> str | None:
        """Entity tag, as sent."""
        return self.headers.get("etag")


class Body(httpx.AsyncByteStream):
    """A large body in pieces; may be read again for a second try."""

    def __init__(self, parts: tuple[bytes, ...]) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The pieces."""
        for part in self._parts:
            for place in range(0, len(part), PIECE_BYTES):
                yield part[place : place + PIECE_BYTES]


class PlatformClient:
    """Calls operations of one account. Raises Unavailable, or OutcomeUnknown for a write that may have happened.

    `root` is the account's address, `target` what waits when the account is away: the destination's id.
    """

    def __init__(
        self,
        root: str,
        credentials: Credentials,
        profile: Profile,
        *,
        target: str,
        transport: httpx.AsyncBaseTransport | None = None,
        limits: Limits | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.limits = limits or Limits(target, profile)
        self._credentials = credentials
        self._profile = profile
        self._now = now
        self._target = target
        self._root = root
        self._meanings = Meanings(profile)
        self._http = httpx.AsyncClient(
            transport=transport or AiohttpTransport(client=lambda: _session(profile)),
            headers={"accept": profile.requests.accept, "accept-encoding": "identity", "user-agent": "healthcare-records"},
            timeout=profile.requests.timeout_seconds,
            follow_redirects=False,
        )

    async def aclose(self) -> None:
        """Close connections."""
        await self.limits.aclose()
        await self._http.aclose()

    def outage(self, retry: Retry, why: str, *, is_write: bool, retry_after_seconds: float | None = None) -> Unavailable:
        """An outage of this account."""
        return outage(self._target, retry, why, is_write=is_write, retry_after_seconds=retry_after_seconds)

    def check_allowed(self, operation: str, effects: Iterable[Effect] = ()) -> Operation:
        """The firewall. Raises SideEffectRefused for what the profile does not describe or allow."""
        known = self._profile.operations.get(operation)
        if known is None:
            raise SideEffectRefused(self._profile.name, operation, "unknown operation")
        for effect in (*known.effects, *effects):
            if effect not in self._profile.allowed_effects:
                raise SideEffectRefused(self._profile.name, operation, effect)
        return known

    async def call(
        self,
        operation: str,
        values: Mapping[str, str] | None = None,
        *,
        json: Any = None,
        parts: tuple[bytes, ...] = (),
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        effects: Iterable[Effect] = (),
    ) -> Reply:
        """One operation; `parts` are a body that is no JSON, `effects` what this call does beyond what its profile says."""
        known = self.check_allowed(operation, effects)
        path = self._root + known.path.format_map({name: quote(value, safe="") for name, value in (values or {}).items()})
        if params:
            path = f"{path}?{urlencode(params)}"
        content = (orjson.dumps(json),) if json is not None else parts
        sent = {**({"content-type": "application/json"} if json is not None else {}), **(headers or {})}
        keys = await self._credentials.headers()
        reply = await self._send(operation, known, path, content, {**sent, **keys})
        if reply.said.status == 401:
            reply = await self._after_refusal(operation, known, path, content, sent, keys, reply)
        if isinstance(reply.meaning, Retry) and reply.meaning is not Retry.AGAIN:
            raise self.outage(reply.meaning, str(reply.said.status), is_write=known.is_write)
        return reply

    async def _after_refusal(
        self,
        operation: str,
        known: Operation,
        path: str,
        content: tuple[bytes, ...],
        sent: Mapping[str, str],
        keys: Mapping[str, str],
        refused: Reply,
    ) -> Reply:
        """A 401: once more with renewed credentials; a platform may also mean "later" by it."""
        if await self._credentials.renew(keys):
            return await self._send(operation, known, path, content, {**sent, **await self._credentials.headers()})
        if self._profile.retry.unauthorized_means_throttle:
            seconds = self._profile.retry.default_seconds
            self.limits.pause(operation, seconds, is_for_all=True)
            raise self.outage(Retry.LIMITED, "401", is_write=known.is_write, retry_after_seconds=seconds)
        return refused

    async def _send(self, operation: str, known: Operation, path: str, parts: tuple[bytes, ...], headers: dict[str, str]) -> Reply:
        size = sum(map(len, parts))
        content: bytes | Body | None = None
        if parts:
            content = b"".join(parts) if size <= STREAM_BYTES else Body(parts)
            headers["content-length"] = str(size)
        request = self._http.build_request(known.method, path, content=content, headers=headers)
        status, is_sent, is_outage = "none", False, True
        try:
            async with self.limits.turn(operation), asyncio.timeout(self._profile.requests.timeout_seconds):
                is_sent = True
                response = await self._http.send(request, stream=True)
                try:
                    status = str(response.status_code)
                    data = await self._read(response, known.max_answer_bytes or self._profile.requests.max_answer_bytes)
                    is_outage = response.status_code >= 500 and response.status_code != STORAGE_FULL
                finally:
                    await response.aclose()
        except CAUGHT as error:
            raise self.outage(classify_error(error), type(error).__name__, is_write=known.is_write) from error
        finally:
            if is_sent:
                PLATFORM_REQUESTS.labels(self._profile.name, operation, status).inc()
                self.limits.note(operation, is_outage=is_outage)
        return self._understand(operation, known, response, data)

    async def _read(self, response: httpx.Response, most: int) -> bytes | None:
        """The body; None when it is larger than an answer may be, or packed although we asked for plain."""
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            return None
        data = bytearray()
        async for piece in response.aiter_raw():
            data += piece
            if len(data) > most:
                return None
        return bytes(data)

    def _understand(self, operation: str, known: Operation, response: httpx.Response, data: bytes | None) -> Reply:
        """What the answer means. Raises for pauses asked for, and for a success whose body is broken: only reading tells what happened."""
        try:
            body = orjson.loads(data) if data and (known.answers == "json" or response.status_code >= 400) else None
        except orjson.JSONDecodeError:
            body = None
        told = said(response.status_code, body, self._profile.errors.envelope)
        meaning = self._meanings.of(told, known.success)
        wish = wish_seconds(response.headers, self._profile.retry, now=self._now())
        if meaning is Retry.LIMITED:
            pause = self._profile.retry.default_seconds if wish is None else wish
            self.limits.pause(operation, pause, is_for_all=self.limits.is_shared(operation))
            raise self.outage(meaning, str(told.status), is_write=known.is_write, retry_after_seconds=pause)
        if isinstance(meaning, Retry) and wish is not None:
            raise self.outage(meaning, str(told.status), is_write=known.is_write, retry_after_seconds=wish)
        if meaning is None and (data is None or (known.answers == "json" and not isinstance(body, dict))):
            raise self.outage(Retry.UNKNOWN, "broken answer", is_write=known.is_write)
        return Reply(meaning, told, body if isinstance(body, dict) else {}, data or b"", response.headers)


def checked_url(text: str, setting: str) -> str:
    """The base address without its last slash. Raises Misconfigured: plain HTTP is for this machine only, keys travel in it."""
    parts = urlsplit(text)
    is_local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if parts.scheme not in ("https", "http") or not parts.hostname or (parts.scheme == "http" and not is_local):
        raise Misconfigured(f"{setting} must be an https:// address (http:// on this machine only)")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise Misconfigured(f"{setting} must hold neither a user, a password, a query nor a fragment")
    return text.rstrip("/")


def _session(profile: Profile) -> aiohttp.ClientSession:
    """aiohttp under httpx: measured faster (docs/decisions/0002-http-transport.md)."""
    connector = aiohttp.TCPConnector(
        limit=profile.requests.in_flight, keepalive_timeout=KEEPALIVE_SECONDS, ssl=httpx.create_ssl_context(trust_env=False)
    )
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
    session._retry_connection = False  # a PUT whose connection broke is ours to read back, never sent again behind our back
    return session
