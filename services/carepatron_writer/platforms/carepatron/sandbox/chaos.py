"""Faults on demand, for tests and for the curious: what real platforms do on bad days. Never part of the contract."""

import asyncio
import random
import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.carepatron_writer.platforms.carepatron.sandbox.problems import problem

PROFILES = (
    "none",  # all is well
    "lost-ack",  # does it, then answers 503 or resets the connection
    "throttle",  # 429 with Retry-After in all its forms
    "hang",  # accepts, never answers
    "down",  # 503
    "slow",  # answers late
    "unauthorized",  # 401, as after a key was changed
    "broken-answer",  # does it, then answers 200 with HTML, nothing, or half of it
    "trickle",  # does it, then answers a byte at a time
)
BROKEN = (b"<html><body>Bad gateway</body></html>", b"", b'{"id":"')


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes wrong, how often (0 to 1), for which paths, and for how long."""

    profile: str = "none"
    rate: float = 1.0
    only: str = ""  # requests whose path contains this
    seconds: float = 1.0  # how late `slow` is, how long `throttle` asks to wait, the pause between bytes of `trickle`

    @classmethod
    def read(cls, text: str) -> "Plan":
        """`profile` or `profile:rate`; raises ValueError."""
        profile, _, rate = text.partition(":")
        return cls.check({"profile": profile, "rate": float(rate or 1)})

    @classmethod
    def check(cls, body: MutableMapping[str, Any]) -> "Plan":
        """A plan from JSON; raises ValueError."""
        plan = cls(str(body.get("profile", "none")), float(body.get("rate", 1)), str(body.get("only", "")), float(body.get("seconds", 1)))
        if plan.profile not in PROFILES or not 0 <= plan.rate <= 1 or not 0 <= plan.seconds <= 3600:
            raise ValueError("unknown profile, or a number out of range")
        return plan


class Chaos:
    """ASGI middleware around the contract's operations; pages and `/sandbox/…` are left alone."""

    def __init__(self, app: ASGIApp, plan: Plan) -> None:
        self._app = app
        self._chance = random.Random(20261123)  # noqa: S311  # chaos that repeats, nothing secret
        self._turn = 0
        self.plan = plan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or spoil it."""
        plan = self.plan
        is_spoilt = (
            plan.profile != "none"
            and scope["type"] == "http"
            and scope["path"].startswith("/v1/providers/")
            and plan.only in scope["path"]
            and self._chance.random() < plan.rate
        )
        if not is_spoilt:
            await self._app(scope, receive, send)
            return
        self._turn += 1
        await self._spoil(plan, scope, receive, send)

    async def _spoil(self, plan: Plan, scope: Scope, receive: Receive, send: Send) -> None:
        match plan.profile:
            case "slow":
                await asyncio.sleep(plan.seconds)
                await self._app(scope, receive, send)
            case "hang":
                await _swallow(receive)
                await asyncio.sleep(3600)
            case "down":
                await _swallow(receive)
                await problem("upstream-chaos")(scope, receive, send)
            case "unauthorized":
                await _swallow(receive)
                await problem("unauthorized")(scope, receive, send)
            case "throttle":
                await _swallow(receive)
                wish = _wish(self._turn, plan.seconds)
                await problem("rate-limited", headers={"Retry-After": wish} if wish else None)(scope, receive, send)
            case "lost-ack":
                await self._app(scope, receive, _forget)
                if self._turn % 2:
                    await problem("upstream-chaos")(scope, receive, send)
                else:
                    await _reset(receive)
            case "broken-answer":
                await self._app(scope, receive, _forget)
                await _answer_bytes(send, BROKEN[self._turn % len(BROKEN)], pause_seconds=0)
            case _:
                await self._app(scope, receive, _forget)
                await _answer_bytes(send, b'{"id":"' + b"x" * 4096 + b'"}', pause_seconds=plan.seconds)


async def _forget(_: Message) -> None:
    """Let an answer go nowhere."""


async def _swallow(receive: Receive) -> None:
    """Take the request's body, so that its sender waits for the answer."""
    while (await receive()).get("more_body"):
        pass


async def _reset(receive: Receive) -> None:
    """Cut the connection without an answer: the server's transport where there is one, else as an error to the caller."""
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass


def _wish(turn: int, seconds: float) -> str | None:
    """`Retry-After` as seconds, HTTP date, UNIX time, absent, ten years, negative, words: one after the other."""
    until = time.time() + seconds
    forms = (str(round(seconds)), formatdate(until, usegmt=True), str(round(until)), None, "315360000", "-5", "abc")
    return forms[turn % len(forms)]


async def _answer_bytes(send: Send, body: bytes, *, pause_seconds: float) -> None:
    """200 with these bytes, one at a time when there is a pause."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    if pause_seconds:
        for place in range(len(body)):
            await send({"type": "http.response.body", "body": body[place : place + 1], "more_body": True})
            await asyncio.sleep(pause_seconds)
    await send({"type": "http.response.body", "body": body if not pause_seconds else b""})
