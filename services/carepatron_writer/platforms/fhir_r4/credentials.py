"""SMART Backend Services: a signed assertion for a short token. No secret travels, nothing is logged.

SMART App Launch 2.2, Backend Services, and Client Authentication: Asymmetric (client_credentials with private_key_jwt, RFC 7523).
RS384 and ES384 only; the algorithm follows from the key, so `none` and shared secrets cannot be asked for.
"""

import asyncio
import time
import uuid
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from shared.errors import Misconfigured, Unavailable

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_SECONDS = 240  # the specification allows five minutes; the rest is for clocks that differ
DEFAULT_LIFE_SECONDS = 300.0
LONGEST_LIFE_SECONDS = 3600.0
RENEW_BEFORE_SECONDS = 30.0
FRESH_SECONDS = 5.0  # a token refused this soon is not refused for its age: another one would not help
TIMEOUT_SECONDS = 10.0
MOST_BYTES = 65_536
SMALLEST_RSA_BITS = 2048
ALGORITHMS = ("RS384", "ES384")


class SigningKey:
    """Our private key with its algorithm and id. Raises Misconfigured for anything but RSA (2048 bits up) and EC P-384."""

    def __init__(self, text: str, key_id: str = "") -> None:
        self._key, self.algorithm, said = _load(text)
        self.key_id = key_id or str(said.get("kid") or "")
        if not self.key_id:
            raise Misconfigured("KEY_ID must name the key as our JWKS does")

    def assertion(self, client_id: str, audience: str, now: float) -> str:
        """A JWT that says who we are, for one use within four minutes."""
        header = {"alg": self.algorithm, "kid": self.key_id, "typ": "JWT"}
        issued = int(now)
        claims = {"iss": client_id, "sub": client_id, "aud": audience, "iat": issued, "exp": issued + ASSERTION_SECONDS}
        return jwt.encode(header, {**claims, "jti": str(uuid.uuid4())}, self._key, algorithms=list(ALGORITHMS))

    def __repr__(self) -> str:
        """Without the key."""
        return f"SigningKey({self.algorithm})"


class SmartBackend:
    """Tokens for one account: kept until half a minute before they end, fetched once for all who wait."""

    def __init__(
        self,
        token_url: str,
        client_id: str,
        key: SigningKey,
        scope: str,
        *,
        target: str,
        transport: httpx.AsyncBaseTransport | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token_url = token_url
        self._client_id = client_id
        self._key = key
        self.scope = scope
        self.granted: tuple[str, ...] | None = None  # None: the server did not say, so it is what was asked for
        self.fetches = 0
        self._target = target
        self._now = now
        self._clock = clock
        self._lock = asyncio.Lock()
        self._token = ""
        self._ends_at = self._fetched_at = float("-inf")
        headers = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "healthcare-records"}
        self._http = httpx.AsyncClient(
            transport=transport, headers=headers, timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False
        )

    async def aclose(self) -> None:
        """Close connections."""
        await self._http.aclose()

    async def headers(self) -> Mapping[str, str]:
        """The bearer token. Raises Unavailable when it cannot be had."""
        async with self._lock:
            if self._clock() >= self._ends_at:
                await self._fetch()
            return {"Authorization": f"Bearer {self._token}"}

    async def renew(self, refused: Mapping[str, str]) -> bool:
        """After a 401: True when there is another token than the refused one. Whoever comes later finds it."""
        async with self._lock:
            if refused.get("Authorization") != f"Bearer {self._token}":
                return True
            if self._clock() - self._fetched_at < FRESH_SECONDS:
                return False
            await self._fetch()
            return True

    def __repr__(self) -> str:
        """Without key and token."""
        return f"SmartBackend({self._target})"

    async def _fetch(self) -> None:
        form = {
            "grant_type": "client_credentials",
            "scope": self.scope,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self._key.assertion(self._client_id, self._token_url, self._now()),
        }
        self.fetches += 1
        asked_at = self._clock()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS), self._http.stream("POST", self._token_url, data=form) as response:
                data = bytearray()
                async for piece in response.aiter_bytes():
                    data += piece
                    if len(data) > MOST_BYTES:
                        raise self._outage("token endpoint: too long an answer")
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            raise self._outage(f"token endpoint: {type(error).__name__}") from None
        if response.status_code != 200:
            raise self._outage(f"token endpoint answered {response.status_code}")
        self._take(bytes(data), asked_at)

    def _take(self, data: bytes, asked_at: float) -> None:
        try:
            body: Any = orjson.loads(data)
        except orjson.JSONDecodeError:
            body = None
        said = body if isinstance(body, dict) else {}
        token, kind, life = said.get("access_token"), said.get("token_type"), said.get("expires_in")
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable() or str(kind).lower() != "bearer":
            raise self._outage("token endpoint: no bearer token in its answer")
        seconds = DEFAULT_LIFE_SECONDS
        if isinstance(life, int | float) and not isinstance(life, bool) and life > 0:
            seconds = min(float(life), LONGEST_LIFE_SECONDS)
        self._token = token
        self._fetched_at = asked_at
        self._ends_at = asked_at + max(seconds - RENEW_BEFORE_SECONDS, seconds / 2)
        self.granted = tuple(str(said["scope"]).split()) if said.get("scope") else None

    def _outage(self, why: str) -> Unavailable:
        return Unavailable(self._target, why, is_target_down=True)


class BearerToken:
    """A token that is given to us and does not end."""

    def __init__(self, token: str) -> None:
        if not token.isascii() or not token.isprintable() or not token:
            raise Misconfigured("API_KEY must hold the account's token")
        self._token = token

    async def headers(self) -> Mapping[str, str]:
        """The token."""
        return {"Authorization": f"Bearer {self._token}"}

    async def renew(self, refused: Mapping[str, str]) -> bool:
        """There is no other one."""
        return False

    def __repr__(self) -> str:
        """Without the token."""
        return "BearerToken()"


class NoLogin:
    """For a server on this machine that asks for nothing."""

    async def headers(self) -> Mapping[str, str]:
        """None."""
        return {}

    async def renew(self, refused: Mapping[str, str]) -> bool:
        """There is nothing to renew."""
        return False


def read_key(file: Path, key_id: str) -> SigningKey:
    """The key in a file. Raises Misconfigured."""
    try:
        text = file.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        raise Misconfigured("PRIVATE_KEY_FILE cannot be read") from None
    return SigningKey(text, key_id)


def _load(text: str) -> tuple[RSAKey | ECKey, str, Mapping[str, Any]]:
    said: Mapping[str, Any] = {}
    key: RSAKey | ECKey
    refused = Misconfigured("PRIVATE_KEY_FILE must hold a private key: RSA with 2048 bits or more, or EC P-384 (PEM or JWK)")
    try:
        with warnings.catch_warnings(action="ignore"):  # what is weak is refused below
            if text.lstrip().startswith("{"):
                said = orjson.loads(text)
                key = RSAKey.import_key(dict(said)) if said.get("kty") == "RSA" else ECKey.import_key(dict(said))
            else:
                key = _pem(text.encode())
    except (JoseError, ValueError, TypeError, KeyError):
        raise refused from None
    algorithm = "RS384" if isinstance(key, RSAKey) else "ES384"
    is_strong = key.raw_value.key_size >= SMALLEST_RSA_BITS if isinstance(key, RSAKey) else key.curve_name == "P-384"
    if not key.is_private or not is_strong:
        raise refused
    if said.get("alg") not in (None, algorithm):
        raise Misconfigured(f"PRIVATE_KEY_FILE: the key is for another algorithm than {algorithm}")
    return key, algorithm, said


def _pem(text: bytes) -> RSAKey | ECKey:
    try:
        return RSAKey.import_key(text)
    except (JoseError, ValueError, TypeError):
        return ECKey.import_key(text)
