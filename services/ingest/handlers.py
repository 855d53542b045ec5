"""The Kafka edge of ingest: one published record in, its messages out to `document.received.v1`, one outcome for each."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Protocol

from services.ingest.core import Part, named_patient, record_key
from services.ingest.digests import Claim, Digests
from services.ingest.settings import Settings
from services.ingest.splitting import Splitter
from shared.canonical.reading import ProviderProfile
from shared.content_store import ContentMissing, digest_of
from shared.delivery.records import Handler, Record
from shared.errors import Unavailable
from shared.events import Event, EventType, read_published, write_headers
from shared.outcomes import Action, Done, Facts, Outcome, Outcomes, Reason, Rejected, Status
from shared.topics import RECEIVED

CLAIM_SECONDS = 30.0  # a claim without coordinates that is older was left behind by a crash
CLAIM_PAUSE_SECONDS = 0.2
LARGE_AT_ONCE = 2  # contents from the store held in memory
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


def receive_documents(ports: Ports, settings: Settings) -> Handler:
    """Handle one published record.

    Steps: digest, claim, (large: store first), produce and wait for the broker, remember the coordinates. A crash between any two of
    them is safe: the claim names this very record and part, so that the next try goes on where nothing is remembered yet.
    """
    large = asyncio.Semaphore(LARGE_AT_ONCE)

    async def on_document_published(record: Record) -> Outcomes:
        events = read_published(record.headers, record.value, fallback_id=record.place)
        if isinstance(events, Rejected):
            return [replace(events, facts=Facts(action=Action.RECEIVE, size=len(record.value or b"")))]
        if any(one.contentref for one in events):
            async with large:
                return await _receive(record, events, ports, settings)
        return await _receive(record, events, ports, settings)

    return on_document_published


async def _receive(record: Record, events: list[Event], ports: Ports, settings: Settings) -> Outcomes:
    """Outcomes of all parts of all events of one record (several only in a batch), numbered through."""
    outcomes: list[Outcome] = []
    for event in events:
        first = len(outcomes)
        cause = replace(
            event,
            providerid=event.providerid or settings.default_provider_id,
            correlationid=event.correlationid or event.id,
            # ours to say, not a publisher's
            origin=None,
            replayid=None,
            clinicid=None,
        )
        taken = await _take(cause, ports, settings)
        if isinstance(taken, Rejected):
            outcomes.append(replace(taken, facts=replace(taken.facts, part=first)))
        else:
            items = [_item(part, first + part.number, cause, record) for part in taken]
            outcomes.extend(await _pass_on(items, ports, settings))
    return outcomes


async def _take(cause: Event, ports: Ports, settings: Settings) -> list[Part] | Rejected:
    """The parts of one event, its content fetched when it travels by reference."""
    provider = ports.profile(cause.providerid or "")
    facts = Facts(action=Action.RECEIVE, provider_id=cause.providerid, size=len(cause.data))
    content = cause.data
    if cause.contentref and not content:
        try:
            content = await ports.contents.get(cause.contentref)
        except ContentMissing:
            return Rejected(Reason.CONTENT_MISSING, "ce_contentref", facts)
    if len(content) > settings.max_bytes:
        return Rejected(Reason.CONTENT_TOO_LARGE, facts=replace(facts, size=len(content)))
    taken = await ports.splitter.split(content, provider, cause.contenttype, named_patient(cause.subject))
    if isinstance(taken, Rejected):
        return replace(taken, facts=replace(facts, sha256=await digest_of(content), size=len(content)))
    return taken


def _item(part: Part, number: int, cause: Event, record: Record) -> _Item:
    provider_id = cause.providerid or ""
    scope = part.patient_key or ""
    if cause.syncaction:
        # a publisher who says what to do with the bytes (withdraw, bring back) may send the same ones again
        scope = f"{scope}|{cause.syncaction}|{record.place}"
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
    )
    return _Item(part, cause, Claim(provider_id, part.sha256, scope, record.place, number), facts)


async def _pass_on(items: list[_Item], ports: Ports, settings: Settings) -> list[Outcome]:
    """Produce every part that is new, in order, and remember it. Raises Unavailable; what was remembered by then is not sent again."""
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
