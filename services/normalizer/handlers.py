"""The Kafka edge of the normalizer: one received document in, canonical events out, one outcome for each part."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from services.normalizer.core import (
    Passed,
    document_event,
    document_facts,
    facts_of,
    normalized,
    patient_event,
    patient_of,
    plan,
    refuse,
    resource_reference,
    settle,
    warning_codes,
    with_losses,
)
from services.normalizer.registry.changes import Applied, Change
from services.normalizer.relevance import Relevance
from shared.canonical.reading import Format, PatientReading, ProviderProfile, Reading
from shared.content_store import ContentMissing
from shared.delivery.records import Handler, Record
from shared.events import Event, EventType, read_event, write_headers
from shared.identity import digest
from shared.outcomes import Facts, Outcome, Outcomes, Reason, Rejected, Skipped
from shared.providers import Clinic, Directory
from shared.topics import NORMALIZED

PARTS_PER_CLINIC = 10_000
PATIENT_PAUSE_SECONDS = 0.5
WAITING_AT_ONCE = 16
FRESH_SECONDS = 10.0
FORMATS = frozenset({"hl7v2", "fhir", "ccda", "pdf", "image", "rtf", "text", "json", "unknown"})


class Registry(Protocol):
    """Where patients and documents are kept."""

    async def apply(self, change: Change) -> Applied:
        """Apply a change; raises Unavailable."""

    async def mark_published(self, patient_key: str, revision: int) -> None:
        """Remember that the broker has a snapshot; raises Unavailable."""

    async def find_alias(self, provider_id: str, system: str, value: str) -> str | None:
        """The key of the one patient with this identifier."""

    async def is_enrolled(self, clinic_id: str, patient_key: str) -> bool:
        """Whether a clinic wants this patient."""


class Reader(Protocol):
    """Reads bytes, in this process or in one of its own."""

    async def read(self, content: bytes, provider: ProviderProfile, format: Format | None, media_type: str | None) -> Reading:
        """Read one message or document; never raises for what the bytes hold."""


class Content(Protocol):
    """The content store."""

    async def get(self, ref: str) -> bytes:
        """Raises ContentMissing or Unavailable."""

    async def put(self, data: bytes) -> str:
        """Raises Unavailable."""


class Publisher(Protocol):
    """Writes to topics."""

    async def send_all(self, items: Sequence[tuple[str, bytes | None, bytes | None, Sequence[tuple[str, bytes]]]]) -> list[str]:
        """Coordinates in input order, after the broker's acknowledgement; raises Unavailable."""


def normalize_documents(
    registry: Registry,
    reader: Reader,
    content: Content,
    publisher: Publisher,
    directory: Directory,
    relevance: Relevance,
    *,
    claim_check_bytes: int,
    patient_wait_seconds: float = 0.0,
    clock: Callable[[], float] = time.time,
) -> Handler:
    """Handle one received or replayed document. One that only refers to a patient not known yet waits for them, a few at a time."""
    room_to_wait = asyncio.Semaphore(WAITING_AT_ONCE)
    patient_tries = round(patient_wait_seconds / PATIENT_PAUSE_SECONDS)

    async def on_document_received(record: Record) -> Outcomes:
        event = read_event(record.headers, record.value, default_type=EventType.DOCUMENT_RECEIVED, fallback_id=record.place)
        if event.origin is None:
            event = replace(event, origin=record.place)  # the first receipt; a replay brings its own
        if event.contentref:
            try:
                event = event.with_data(await content.get(event.contentref))
            except ContentMissing:
                return [Rejected(Reason.CONTENT_MISSING, "contentref", facts_of(event))]
        facts = facts_of(event, size=len(event.data))
        provider = directory.profile(event.providerid or "unknown")
        reading = await reader.read(event.data, provider, _format(event.format), event.contenttype)
        refusal = refuse(reading, facts)
        if refusal is not None:
            return [refusal]
        patient = await _patient(reading, event, provider, record)
        if patient is None:
            first = reading.documents[0].document_id if reading.documents else event.documentid
            return [Rejected(Reason.PATIENT_UNIDENTIFIED, None, replace(facts, document_id=first, warnings=warning_codes(reading)))]
        change = plan(reading, patient, provider, sha256=event.sha256 or digest(event.data), origin=event.origin or record.place)
        for data in reading.files.values():
            await content.put(data)
        applied = await registry.apply(change)
        ended, passed = settle(reading, change, applied, facts)
        known = replace(facts, format=reading.format, warnings=warning_codes(reading))
        return with_losses(ended + await _publish(event, change, applied, passed, known, record), reading)

    async def _patient(reading: Reading, event: Event, provider: ProviderProfile, record: Record) -> PatientReading | None:
        patient = patient_of(reading, _uuid(event.subject))
        reference = resource_reference(patient) if patient else None
        if patient is None or reference is None:
            return patient
        alias = await registry.find_alias(provider.provider_id, *reference)
        is_fresh = clock() - record.timestamp_ms / 1000 < FRESH_SECONDS  # a backlog does not wait
        if alias is None and is_fresh and patient_tries:
            async with room_to_wait:  # a Patient published together with this may still be on its way in another lane
                for _ in range(patient_tries):
                    await asyncio.sleep(PATIENT_PAUSE_SECONDS)
                    alias = await registry.find_alias(provider.provider_id, *reference)
                    if alias:
                        break
        return replace(patient, patient_key=alias) if alias else patient

    async def _publish(
        event: Event, change: Change, applied: Applied, passed: Sequence[Passed], facts: Facts, record: Record
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        events: list[Event] = []
        places: list[tuple[Passed, int]] = []  # how many of the events belong to which part
        # the platforms have this snapshot already; a replay brings it again, and a message about the patient alone always does
        is_known = applied.is_published and event.replayid is None and bool(change.documents)
        is_everywhere = not is_known
        for number, (clinic_id, clinic) in enumerate(directory.clinics_of(change.provider_id)):
            here = replace(facts, clinic_id=clinic_id, patient_key=change.patient_key, part=number * PARTS_PER_CLINIC)
            outcomes_here, wanted, brings_patient = await _wanted(here, clinic, change, passed, record)
            outcomes += outcomes_here
            is_everywhere = is_everywhere and brings_patient
            for destination in clinic.destinations:
                for place, one in enumerate(wanted):
                    made = (
                        [document_event(event, change, one.document, one.part, clinic_id=clinic_id, destination_id=destination.id)]
                        if one.document
                        else []
                    )
                    if place == 0 and brings_patient and not is_known:  # a patient goes before its documents
                        made.insert(0, patient_event(event, change, applied, clinic_id=clinic_id, destination_id=destination.id))
                    events += made
                    places.append((one, len(made)))
        coordinates = iter(await publisher.send_all([await _record(one, change.patient_key) for one in events]))
        if is_everywhere and events:
            await registry.mark_published(change.patient_key, applied.revision)
        by_part: dict[int, list[str]] = {}
        for one, count in places:
            by_part.setdefault(one.part, []).extend(next(coordinates) for _ in range(count))
        for one in passed:
            if one.part in by_part:
                outcomes.append(normalized(facts, change, one, by_part[one.part], one.document.decision if one.document else None))
        return outcomes

    async def _wanted(
        here: Facts, clinic: Clinic, change: Change, passed: Sequence[Passed], record: Record
    ) -> tuple[list[Outcome], list[Passed], bool]:
        """What a clinic leaves out, what goes on, and whether the patient goes along.

        What its source takes back always goes on: it may stand on a platform from a time when the rules were others. Alone it brings no
        patient along, who may never have been there.
        """
        clinic_id = here.clinic_id or ""
        is_unknown = bool(passed) and clinic.enrolment == "listed" and not await registry.is_enrolled(clinic_id, change.patient_key)
        skipped: list[Outcome] = []
        wanted: list[Passed] = []
        brings_patient = False
        received_at = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
        for one in passed:
            rule = (
                None
                if one.document is None
                else relevance.skipped_by(
                    change.documents[one.part].document,
                    clinic_id=clinic_id,
                    provider_id=change.provider_id,
                    received_at=received_at,
                    notable=one.document.notable,
                )
            )
            if not (is_unknown or rule):
                brings_patient = True
                wanted.append(one)
            elif one.document and one.document.status == "withdrawn":
                wanted.append(one)
            elif is_unknown:
                skipped.append(Skipped(Reason.PATIENT_NOT_ENROLLED, _facts_of_part(here, change, one)))
            else:
                skipped.append(Skipped(Reason.NOT_RELEVANT, replace(_facts_of_part(here, change, one), rule=rule)))
        return skipped, wanted, brings_patient

    async def _record(event: Event, key: str) -> tuple[str, bytes | None, bytes | None, Sequence[tuple[str, bytes]]]:
        if len(event.data) > claim_check_bytes:
            event = replace(event, contentref=await content.put(event.data), sha256=digest(event.data), data=b"")
        return NORMALIZED.name, key.encode(), event.data, write_headers(event)

    return on_document_received


def _facts_of_part(here: Facts, change: Change, one: Passed) -> Facts:
    """The facts of a part that a clinic leaves out; its number is apart from those of other clinics and of what is passed on."""
    part = here.part + PARTS_PER_CLINIC + one.part
    return replace(document_facts(here, change.documents[one.part].document, part) if one.document else here, part=part)


def _format(text: str | None) -> Format | None:
    """The format that ingest recognised, when it is one of ours."""
    return text if text in FORMATS else None  # type: ignore[return-value]  # narrowed by the set


def _uuid(text: str | None) -> str | None:
    """The text when it is a patient key, else None: other senders put other things into `subject`."""
    try:
        return str(UUID(text)) if text else None
    except ValueError:
        return None
