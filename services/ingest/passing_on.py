"""Passing on: what becomes of the parts of a published record between the digest table, the content store and `document.received.v1`."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Protocol

from services.ingest.core import Part, record_key
from services.ingest.digests import Claim, Digests
from services.ingest.settings import Settings
from services.ingest.splitting import Splitter
from shared.canonical.reading import ProviderProfile
from shared.errors import Unavailable
from shared.events import Event, EventType, write_headers
from shared.outcomes import Action, Done, Facts, Outcome, Status
from shared.topics import RECEIVED

CLAIM_SECONDS = 30.0  # a claim without coordinates that is older was left behind by a crash
CLAIM_PAUSE_SECONDS = 0.2
SENT_TOGETHER = 200

Item = tuple[str, bytes | None, bytes | None, Sequence[tuple[str, bytes]]]


class Sender(Protocol):
    """Sends records in order and waits for the broker; coordinates in the order given, or Unavailable."""

    async def send_all(self, items: Sequence[Item]) -> list[str]: ...


class Contents(Protocol):
    """Large content by reference; Unavailable during an outage, ContentMissing when it is gone."""

    async def put(self, data: bytes) -> str: ...

    async def get(self, ref: str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Ports:
    """What the handler needs; `app.py` supplies adapters, tests supply fakes."""

    splitter: Splitter
    digests: Digests
    sender: Sender
    contents: Contents
    profile: Callable[[str], ProviderProfile]


@dataclass(slots=True)
class _Item:
    """One part on its way."""

    part: Part
    cause: Event
    claim: Claim
    facts: Facts
    outcome: Outcome | None = None


def _item(part: Part, number: int, cause: Event, place: str) -> _Item:
    provider_id = cause.providerid or ""
    scope = part.patient_key or ""
    if cause.syncaction:
        # a publisher who says what to do with the bytes (withdraw, bring back) may send the same ones again
        scope = f"{scope}|{cause.syncaction}|{place}"
    facts = Facts(
        part=number,
        action=Action.RECEIVE,
        patient_key=part.patient_key,
        document_id=part.document_id,
        source_version=part.source_version,
        provider_id=provider_id,
        format=part.format,
        sha256=part.sha256,
        size=len(part.content),
        correlation_id=cause.correlationid,
        warnings=part.warnings,
    )
    return _Item(part, cause, Claim(provider_id, part.sha256, scope, place, number), facts)


async def pass_on(parts: Sequence[Part], first: int, cause: Event, place: str, ports: Ports, settings: Settings) -> list[Outcome]:
    """Produce every part that is new, in order, and remember it. Raises Unavailable; what was remembered by then is not sent again."""
    items = [_item(part, first + part.number, cause, place) for part in parts]
    firsts: dict[tuple[str, str, str], _Item] = {}
    for one in items:
        # the same message twice in one file: the second is a duplicate of the first
        if firsts.setdefault(one.claim.key, one) is not one:
            one.outcome = Done(Status.DUPLICATE, one.facts)
    asking = list(firsts.values())
    answers = await asyncio.gather(*(_ask(one, ports) for one in asking))
    new = [one for one, answer in zip(asking, answers, strict=True) if answer is _Answer.NEW]
    for start in range(0, len(new), SENT_TOGETHER):
        await _produce(new[start : start + SENT_TOGETHER], ports, settings)
    if _Answer.WAIT in answers:
        # only now: two records that wait for each other's parts have both done their own
        raise Unavailable("ingest-claim", "the same bytes are being received", retry_after_seconds=CLAIM_PAUSE_SECONDS)
    return [one.outcome for one in items if one.outcome is not None]


class _Answer(Enum):
    """What the table of digests says to a part."""

    NEW = auto()  # produce it
    SETTLED = auto()  # its outcome stands
    WAIT = auto()  # another record is at the same bytes


async def _ask(item: _Item, ports: Ports) -> _Answer:
    """Claim the part's bytes, and settle its outcome when they were received before."""
    holder = await ports.digests.claim(item.claim)
    is_ours = (holder.origin, holder.part) == (item.claim.origin, item.claim.part)
    if holder.received is not None:
        # ours: this record came up to here before; the outcome is the same as then
        passed_on = (holder.received,) if is_ours else ()
        item.outcome = Done(Status.RECEIVED if is_ours else Status.DUPLICATE, replace(item.facts, passed_on=passed_on))
        return _Answer.SETTLED
    if is_ours or (holder.age_seconds > CLAIM_SECONDS and await ports.digests.take_over(item.claim, holder)):
        return _Answer.NEW
    return _Answer.WAIT


async def _produce(items: list[_Item], ports: Ports, settings: Settings) -> None:
    """Send the parts, wait for the broker, then remember where they landed."""
    records = [await _received_record(one, ports, settings) for one in items]
    places = await ports.sender.send_all(records)
    await asyncio.gather(*(ports.digests.remember(one.claim, place) for one, place in zip(items, places, strict=True)))
    for one, place in zip(items, places, strict=True):
        one.outcome = Done(Status.RECEIVED, replace(one.facts, passed_on=(place,)))


async def _received_record(item: _Item, ports: Ports, settings: Settings) -> Item:
    part, cause = item.part, item.cause
    event = Event.after(
        cause,
        type=EventType.DOCUMENT_RECEIVED,
        part=str(item.facts.part),
        data=part.content,
        subject=part.patient_key or part.document_id,
        contenttype=cause.contenttype,
        format=part.format,
        documentid=part.document_id,
        sourceversion=part.source_version,
        syncaction=cause.syncaction if cause.syncaction in ("upsert", "withdraw") else None,
        sha256=part.sha256,
    )
    if len(part.content) > settings.claim_check_bytes:
        event = event.pointing_at(await ports.contents.put(part.content))
    return RECEIVED.name, record_key(part, item.claim.provider_id).encode(), event.data, write_headers(event)
