"""The table of digests: who claimed which bytes, and which record was produced from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shared.delivery.coalescing import CoalescingWriter
from shared.postgres import guarded, load_queries

SQL = load_queries("services.ingest")


@dataclass(frozen=True, slots=True)
class Claim:
    """A part of a published record that asks to be the one that passes these bytes on."""

    provider_id: str
    sha256: str
    scope: str  # patient key, or what else makes the same bytes another document
    origin: str  # coordinates of the published record
    part: int

    @property
    def key(self) -> tuple[str, str, str]:
        """What is claimed."""
        return self.provider_id, self.sha256, self.scope


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the claim, and what was produced from it (None: nothing that we know of)."""

    origin: str
    part: int
    received: str | None
    age_seconds: float


class Digests(Protocol):
    """The table as handlers see it; every method raises Unavailable during an outage."""

    async def claim(self, claim: Claim) -> Holder: ...

    async def take_over(self, claim: Claim, holder: Holder) -> bool: ...

    async def remember(self, claim: Claim, received: str) -> None: ...


class PostgresDigests:
    """The table in PostgreSQL; the statements of many lanes travel together."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._claims: CoalescingWriter[Claim, Holder] = CoalescingWriter(self._claim_all)
        self._memories: CoalescingWriter[tuple[Claim, str], None] = CoalescingWriter(self._remember_all)

    async def claim(self, claim: Claim) -> Holder:
        """Claim the bytes; whoever came first is the holder, also when that was this very part in an earlier try."""
        return await self._claims(claim)

    async def take_over(self, claim: Claim, holder: Holder) -> bool:
        """Take a claim over that its holder has left unfinished; False when somebody else was faster."""
        async with guarded():
            won = await self._pool.fetchval(
                SQL["take_over_claim"],
                claim.provider_id,
                bytes.fromhex(claim.sha256),
                claim.scope,
                claim.origin,
                claim.part,
                holder.origin,
                holder.part,
            )
        return bool(won)

    async def remember(self, claim: Claim, received: str) -> None:
        """Keep the coordinates of what was produced; from now on the same bytes are a duplicate."""
        await self._memories((claim, received))

    async def _claim_all(self, claims: list[Claim]) -> list[Holder]:
        keys = _columns([one.key for one in claims])
        async with guarded(), self._pool.acquire() as connection:
            await connection.execute(SQL["claim_digests"], *keys, [one.origin for one in claims], [one.part for one in claims])
            # a statement of its own: it sees what others committed while the first one waited for them
            rows = await connection.fetch(SQL["read_claims"], *keys)
        return [Holder(row["origin"], row["part"], row["received"], row["age_seconds"]) for row in rows]

    async def _remember_all(self, items: list[tuple[Claim, str]]) -> list[None]:
        keys = _columns([claim.key for claim, _ in items])
        places = [claim.origin for claim, _ in items], [claim.part for claim, _ in items], [received for _, received in items]
        async with guarded():
            await self._pool.execute(SQL["remember_received"], *keys, *places)
        return [None] * len(items)


def _columns(keys: Sequence[tuple[str, str, str]]) -> tuple[list[str], list[bytes], list[str]]:
    """Keys as the arrays of an `unnest`."""
    return [key[0] for key in keys], [bytes.fromhex(key[1]) for key in keys], [key[2] for key in keys]
