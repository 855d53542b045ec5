"""Faults on demand, for tests and for the curious: what real platforms do on bad days. Never part of the contract."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from services.carepatron_writer.platforms.carepatron.sandbox import faults
from services.carepatron_writer.platforms.carepatron.sandbox.limits import wish_of
from services.carepatron_writer.platforms.carepatron.sandbox.plans import Plan
from services.carepatron_writer.platforms.carepatron.sandbox.problems import problem

SEED = 20261123  # chaos that repeats
WISHES = ("http_date", "unix_seconds", "none", "absurd", "absurd", "absurd", "seconds")


class Hand(Protocol):
    """What happens beside a request."""

    def merge(self, path: str, *, moves: bool) -> bool:
        """Merge the contact in this path into another one; whether there was one."""

    def has_key(self, scope: Scope) -> bool:
        """Whether the request's key is good."""

    def expire_key(self) -> None:
        """The key opens nothing any more."""


@dataclass(slots=True)
class Active:
    """A plan at work."""

    plan: Plan
    matched: int = 0  # requests that it is for
    hits: int = 0  # those that it spoilt


class Chaos:
    """ASGI middleware around the contract's operations; pages and `/sandbox/…` are left alone. Plans hold together, the first outermost."""

    def __init__(self, app: ASGIApp, hand: Hand, plans: Sequence[Plan], pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._app = app
        self._hand = hand
        self._pause = pause
        self.set(plans)

    def set(self, plans: Sequence[Plan]) -> None:
        """Other plans; their dice begin anew."""
        self._chance = random.Random(SEED)  # noqa: S311  # nothing secret
        self.active = [Active(one) for one in plans if one.profile != "none"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or spoil it."""
        if not self.active or scope["type"] != "http" or not scope["path"].startswith("/v1/providers/"):
            await self._app(scope, receive, send)
            return
        app: ASGIApp = self._app
        for one in reversed(self.active):
            app = self._around(one, app)
        await app(scope, receive, send)

    def state(self) -> list[dict[str, Any]]:
        """The plans, and how often each has struck."""
        return [{**one.plan.as_json(), "matched": one.matched, "hits": one.hits} for one in self.active]

    def _around(self, active: Active, app: ASGIApp) -> ASGIApp:
        async def maybe(scope: Scope, receive: Receive, send: Send) -> None:
            plan = active.plan
            if plan.only not in scope["path"] or plan.method not in ("", scope["method"]):
                await app(scope, receive, send)
                return
            active.matched += 1
            is_over = plan.times is not None and active.hits >= plan.times
            is_hit = active.matched > plan.after and not is_over and self._chance.random() < plan.rate
            if is_hit:
                active.hits += 1
                await self._spoil(plan, active, app, scope, receive, send)
            elif plan.profile == "carepatron-exercise" and active.matched > plan.after and not is_over:
                await self._pause(plan.seconds)
                await app(scope, receive, send)
            else:
                await app(scope, receive, send)

        return maybe

    async def _spoil(self, plan: Plan, active: Active, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        match plan.profile:
            case "slow":
                await self._pause(plan.seconds)
            case "merge":
                if not self._hand.merge(scope["path"], moves=plan.moves):
                    active.hits -= 1  # nobody was asked about
            case "token-expiry":
                if not self._hand.has_key(scope):
                    active.hits -= 1
                elif active.hits % plan.every == 0:
                    self._hand.expire_key()
            case _:
                await self._answer(plan, active.hits, app, scope, receive, send)
                return
        await app(scope, receive, send)

    async def _answer(self, plan: Plan, turn: int, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        match plan.profile:
            case "hang":
                await faults.hang(receive)
            case "carepatron-exercise" | "down":
                await faults.refuse(problem("upstream-chaos"), scope, receive, send)
            case "unauthorized":
                await faults.refuse(problem("unauthorized"), scope, receive, send)
            case "throttle" | "401-as-throttle":
                wish = wish_of(plan.form or WISHES[(turn - 1) % len(WISHES)], plan.seconds, time.time(), turn)
                code = "rate-limited" if plan.profile == "throttle" else "unauthorized"
                await faults.refuse(problem(code, headers={"Retry-After": wish} if wish else None), scope, receive, send)
            case "redirect":
                await faults.refuse(faults.redirect(plan.to, scope), scope, receive, send)
            case "lost-ack":
                await faults.lose(app, scope, receive, send, is_reset=turn % 2 == 0)
            case "wrong-id":
                await faults.change_id(app, scope, receive, send)
            case "many-headers":
                await faults.add_headers(app, scope, receive, send)
            case "broken-answer":
                await faults.break_off(app, scope, receive, send, turn)
            case "huge-answer":
                await faults.flood(app, scope, receive, send, plan.size)
            case "gzip-bomb":
                await faults.bomb(app, scope, receive, send, plan.size)
            case _:
                await faults.trickle(app, scope, receive, send, plan.seconds, self._pause)
