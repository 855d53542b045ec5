"""A token endpoint as SMART Backend Services describes it: signed assertions, each good once; tokens that end."""

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MOST_SECONDS = 300


class TokenDoor:
    """Gives tokens to whoever signs with a known key, and counts them. `uses`: a token opens this often, then it has ended."""

    def __init__(
        self,
        url: str,
        client_id: str,
        keys: KeySet,
        *,
        life_seconds: int = 300,
        uses: int | None = None,
        scope: str | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.url = url
        self.given: list[str] = []
        self.refusals: list[str] = []
        self.life_seconds = life_seconds
        self.uses = uses
        self._client_id = client_id
        self._keys = keys
        self._scope = scope
        self._now = now
        self._seen: set[str] = set()
        self._left: dict[str, int] = {}
        self._ends: dict[str, float] = {}

    async def give(self, request: Request) -> Response:
        """POST of the form; 400 says only that it was not good enough."""
        form = dict(parse_qsl((await request.body()).decode("ascii", "replace")))
        fault = self._fault(form)
        if fault is not None:
            self.refusals.append(fault)
            return JSONResponse({"error": "invalid_client"}, 400)
        token = uuid.uuid4().hex
        self.given.append(token)
        self._ends[token] = self._now() + self.life_seconds
        if self.uses is not None:
            self._left[token] = self.uses
        scope = self._scope if self._scope is not None else form["scope"]
        said = {"access_token": token, "token_type": "bearer", "expires_in": self.life_seconds, "scope": scope}
        return JSONResponse(said, headers={"cache-control": "no-store"})

    def is_open_for(self, headers: Mapping[str, str]) -> bool:
        """Whether a request carries a token that has not ended."""
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self._ends or self._ends[token] <= self._now():
            return False
        if token in self._left:
            self._left[token] -= 1
            return self._left[token] >= 0
        return True

    def _fault(self, form: Mapping[str, str]) -> str | None:
        if form.get("grant_type") != "client_credentials" or form.get("client_assertion_type") != ASSERTION_TYPE or not form.get("scope"):
            return "form"
        try:
            token = jwt.decode(form.get("client_assertion", ""), self._keys, algorithms=["RS384", "ES384"])
        except (JoseError, ValueError):
            return "signature"
        return self._fault_in(token.header, token.claims)

    def _fault_in(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str | None:
        if header.get("typ") != "JWT" or not header.get("kid"):
            return "header"
        if claims.get("iss") != self._client_id or claims.get("sub") != self._client_id or claims.get("aud") != self.url:
            return "claims"
        ends = claims.get("exp")
        if not isinstance(ends, int) or not self._now() < ends <= self._now() + MOST_SECONDS:
            return "exp"
        if not claims.get("jti") or claims["jti"] in self._seen:
            return "jti"
        self._seen.add(claims["jti"])
        return None
