"""The Kafka edge of ingest: one published record in, its messages out to `document.received.v1`, one outcome for each."""

import asyncio
from dataclasses import replace

from services.ingest.core import Part, known_media_type, known_time, known_trace, named_patient
from services.ingest.passing_on import Ports, pass_on
from services.ingest.settings import Settings
from shared.content_store import ContentMissing, digest_of
from shared.delivery.records import Handler, Record
from shared.events import Event, read_published
from shared.outcomes import Action, Facts, Outcome, Outcomes, Reason, Rejected

LARGE_AT_ONCE = 2  # contents from the store held in memory


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
            # what travels on in headers says only what it is meant to say
            contenttype=known_media_type(event.contenttype),
            traceparent=known_trace(event.traceparent),
            time=known_time(event.time),
        )
        taken = await _take(cause, ports, settings)
        if isinstance(taken, Rejected):
            outcomes.append(replace(taken, facts=replace(taken.facts, part=first)))
        else:
            outcomes.extend(await pass_on(taken, first, cause, record.place, ports, settings))
    return outcomes


async def _take(cause: Event, ports: Ports, settings: Settings) -> list[Part] | Rejected:
    """The parts of one event, its content fetched when it travels by reference."""
    provider = ports.profile(cause.providerid or "")
    facts = Facts(action=Action.RECEIVE, provider_id=cause.providerid, size=len(cause.data), correlation_id=cause.correlationid)
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
