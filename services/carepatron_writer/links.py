"""The ledger `platform_links`: what each of our patients and documents is on each platform. Statements of many lanes travel together.

Order of steps for a record: read the link, decide (core.py), claim it (compare-and-set, state `sending`), call the platform, settle the
link, return the outcome; the engine then records the outcome and marks the offset. A crash between any two steps is harmless:

- after the claim: the record comes again, finds `sending`, and reads the platform back before it writes a second time;
- after the call: the same; what the earlier try of this very record wrote counts as this record's `created` or `updated`;
- after settling: the link carries the coordinates of the record that settled it, so the same record gets the same status, reason and
  therefore the same outcome under the same outcome id, without a call. Refusals repeat in the same way; a released record has
  coordinates of its own and is tried afresh.

A writer that was overtaken (paused, its partition given away) loses the compare-and-set: its claim is decided anew, and what it
settles changes nothing.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from services.carepatron_writer.core import Decision, Link, Offer, Refusal, Settlement
from services.carepatron_writer.platforms.port import Candidate
from shared.delivery import CoalescingWriter
from shared.outcomes import Reason, Status
from shared.postgres import guarded, load_queries

SQL = load_queries("services.carepatron_writer")


@dataclass(frozen=True, slots=True)
class Known:
    """The link of an offer, and of its patient: what the platform calls it, why it was refused, what a person has decided."""

    link: Link | None
    patient_external_id: str | None
    patient_refusal: Refusal | None
    decision: Decision | None = None
    is_parked: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """An offer that is to be sent, and the revision of its link that was seen (0: none)."""

    offer: Offer
    seen: int


@dataclass(frozen=True, slots=True)
class Settled:
    """A claim's end; `seen` is the link's revision after the claim. Without a settlement it was surely not sent."""

    offer: Offer
    seen: int
    settlement: Settlement | None


class Ledger(Protocol):
    """The ledger as the writer sees it; every method raises Unavailable during an outage."""

    async def read(self, offer: Offer) -> Known:
        """What is known."""

    async def claim(self, claim: Claim) -> bool:
        """False when the link has changed since it was read."""

    async def settle(self, settled: Settled) -> None:
        """Write a claim's end; nothing happens when the claim was overtaken."""

    async def link_patient(self, destination_id: str, patient_key: str, external_id: str) -> None:
        """Remember what the platform calls a patient."""

    async def forget_patient(self, destination_id: str, patient_key: str, external_id: str) -> None:
        """The platform no longer knows this client."""

    async def ask_person(self, destination_id: str, patient_key: str, clinic_id: str | None, candidates: Sequence[Candidate]) -> None:
        """Somebody has to say whether one of these clients is the patient."""

    async def park_patient(self, destination_id: str, patient_key: str, why: str) -> None:
        """Nothing is tried for this patient until somebody releases them."""


class PostgresLedger:
    """The ledger in PostgreSQL."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._reads: CoalescingWriter[Offer, Known] = CoalescingWriter(self._read_all)
        self._claims: CoalescingWriter[Claim, bool] = CoalescingWriter(self._claim_all)
        self._settlements: CoalescingWriter[Settled, None] = CoalescingWriter(self._settle_all)

    async def read(self, offer: Offer) -> Known:
        """One row of a joint SELECT."""
        return await self._reads(offer)

    async def claim(self, claim: Claim) -> bool:
        """One row of a joint upsert."""
        return await self._claims(claim)

    async def settle(self, settled: Settled) -> None:
        """One row of a joint update."""
        await self._settlements(settled)

    async def link_patient(self, destination_id: str, patient_key: str, external_id: str) -> None:
        """Seldom, so a statement of its own."""
        async with guarded():
            await self._pool.execute(SQL["link_patient"], destination_id, patient_key, external_id)

    async def forget_patient(self, destination_id: str, patient_key: str, external_id: str) -> None:
        """Seldom, so a statement of its own."""
        async with guarded():
            await self._pool.execute(SQL["forget_patient"], destination_id, patient_key, external_id)

    async def ask_person(self, destination_id: str, patient_key: str, clinic_id: str | None, candidates: Sequence[Candidate]) -> None:
        """Seldom, so a statement of its own."""
        shown = [asdict(one) for one in candidates]
        async with guarded():
            await self._pool.execute(SQL["ask_person"], destination_id, patient_key, clinic_id, shown)

    async def park_patient(self, destination_id: str, patient_key: str, why: str) -> None:
        """Seldom, so a statement of its own."""
        async with guarded():
            await self._pool.execute(SQL["park_patient"], destination_id, patient_key, why)

    async def aclose(self) -> None:
        """Write what is waiting."""
        for one in (self._reads, self._claims, self._settlements):
            await one.aclose()

    async def _read_all(self, offers: list[Offer]) -> Sequence[Known]:
        async with guarded():
            rows = await self._pool.fetch(
                SQL["read_links"],
                [one.destination_id for one in offers],
                [one.kind for one in offers],
                [one.our_id for one in offers],
                [one.patient_key for one in offers],
            )
        return [_known(row) for row in rows]

    async def _claim_all(self, claims: list[Claim]) -> Sequence[bool]:
        ordered = sorted(claims, key=lambda one: one.offer.key)  # rows are locked in one order: batches cannot wait in a circle
        async with guarded():
            rows = await self._pool.fetch(
                SQL["claim_links"],
                *_keys(ordered),
                [one.offer.patient_key for one in ordered],
                [one.offer.version for one in ordered],
                [one.offer.digest for one in ordered],
                [one.offer.place for one in ordered],
                [one.seen + 1 for one in ordered],
            )
        won = {(row["destination_id"], row["kind"], str(row["our_id"])) for row in rows}
        return [one.offer.key in won for one in claims]

    async def _settle_all(self, items: list[Settled]) -> Sequence[None]:
        ordered = sorted(items, key=lambda one: one.offer.key)
        ends = [one.settlement for one in ordered]
        refusals = [end.refusal if end else None for end in ends]
        async with guarded():
            await self._pool.execute(
                SQL["settle_links"],
                *_keys(ordered),
                [end.external_id if end else None for end in ends],
                [one.offer.version for one in ordered],
                [one.offer.digest for one in ordered],
                [end.state if end else "waiting" for end in ends],
                [end.status.value if end else None for end in ends],
                [one.reason.value if one else None for one in refusals],
                [one.where if one else None for one in refusals],
                [one.offer.place for one in ordered],
                [one.seen + 1 for one in ordered],
                [end.content_sha256 if end else None for end in ends],
            )
        return [None] * len(items)


def _keys(items: Sequence[Claim | Settled]) -> tuple[list[str], list[str], list[str]]:
    return [one.offer.destination_id for one in items], [one.offer.kind for one in items], [one.offer.our_id for one in items]


def _known(row: Any) -> Known:
    link = None
    if row["state"] is not None:
        link = Link(
            state=row["state"],
            version=row["source_version"],
            digest=row["digest"],
            place=row["place"],
            revision=row["revision"],
            external_id=row["external_id"],
            status=Status(row["status"]) if row["status"] else None,
            refusal=_refusal(row["reason"], row["refused_at"]),
            repairs=row["repairs"],
        )
    refusal = _refusal(row["patient_reason"], row["patient_refused_at"]) if row["patient_state"] == "refused" else None
    decision = Decision(row["decision"], row["chosen"]) if row["decision"] not in (None, "open") else None
    return Known(link, row["patient_external_id"], refusal, decision, row["is_parked"])


def _refusal(reason: str | None, where: str | None) -> Refusal | None:
    return Refusal(Reason(reason), where) if reason else None
