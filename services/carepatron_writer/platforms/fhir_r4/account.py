"""What patients and documents of one account share: the wire, the server's abilities, time and chance, turns for one identity."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from weakref import WeakValueDictionary

from services.carepatron_writer.platforms.fhir_r4.features import Features, features_of
from services.carepatron_writer.platforms.fhir_r4.settings import FhirSettings
from services.carepatron_writer.platforms.fhir_r4.wire import Wire
from services.carepatron_writer.platforms.http import Retry
from services.carepatron_writer.platforms.profile import Profile
from shared.errors import Unavailable

ROUNDS = 5  # tries against somebody who changes the same thing
FIRST_PAUSE_SECONDS = 0.05
STATEMENT_SECONDS = 3600.0  # how long a server's abilities are believed


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


@dataclass
class Account:
    """One account on one server. Time, chance and pauses come in from outside."""

    wire: Wire
    profile: Profile
    settings: FhirSettings
    now: Callable[[], datetime] = utc_now
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _features: Features | None = None
    _read_at: float = 0.0
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    _locks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    async def features(self) -> Features:
        """What the server can do, read once an hour. Raises Unavailable."""
        async with self._reading:
            if self._features is None or self.clock() - self._read_at > STATEMENT_SECONDS:
                self._features = features_of(await self.wire.statement() or {})
                self._read_at = self.clock()
            return self._features

    @asynccontextmanager
    async def turn(self, *names: str) -> AsyncIterator[None]:
        """One at a time for each name: conditional writes are racy on real servers (PLATFORMS.md 3, 5)."""
        async with AsyncExitStack() as stack:
            for name in sorted(set(names)):
                await stack.enter_async_context(self._locks.setdefault(name, asyncio.Lock()))
            yield

    async def pause(self, turn: int) -> None:
        """Full jitter before the next round of a race."""
        if turn:
            await self.sleep(self.chance() * FIRST_PAUSE_SECONDS * 2**turn)

    def changing(self, what: str) -> Unavailable:
        """The outage after too many rounds: nothing of ours happened."""
        return self.wire.client.outage(Retry.UNSENT, f"the {what} keeps changing", is_write=False)

    def undecided(self) -> Unavailable:
        """A mediated submission that does not show yet."""
        return self.wire.client.outage(Retry.UNKNOWN, "accepted, not there yet", is_write=True, retry_after_seconds=30.0)

    def instant(self) -> str:
        """Now, as FHIR writes it."""
        return self.now().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
