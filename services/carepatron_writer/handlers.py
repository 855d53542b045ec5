"""The Kafka edge of the writer: one normalized patient or document in, one outcome out."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol
from uuid import UUID

from pydantic import ValidationError

from services.carepatron_writer.core import Offer, Refusal, Settlement, card_of, digest_of_card, digest_of_document
from services.carepatron_writer.links import Ledger
from services.carepatron_writer.parking import Watch
from services.carepatron_writer.platforms.port import Platform, Upload
from services.carepatron_writer.rendering import Rendered, platform_version, upload_of, wanted_files
from services.carepatron_writer.writing import Payload, Prepare, Withdrawal, Writing
from shared.canonical.models import HealthcareDocument, Patient
from shared.content_store import ContentMissing, reference_to
from shared.delivery.records import Handler, Record
from shared.errors import Unavailable
from shared.events import Event, EventType, read_event
from shared.identity import digest
from shared.outcomes import Action, Done, Facts, Outcome, Outcomes, Reason, Rejected, Skipped, Status, Unchanged

PARK_AFTER_SECONDS = 900.0


class Content(Protocol):
    """The content store."""

    async def get(self, ref: str) -> bytes:
        """Raises ContentMissing or Unavailable."""


class Renderer(Protocol):
    """What makes a document readable."""

    async def render(
        self, document: HealthcareDocument, files: Mapping[str, bytes], *, media_types: Sequence[str], max_bytes: int, rendering: str
    ) -> Rendered | None:
        """None where the platform takes nothing that could be made of it."""


class _Refused(Exception):
    """The record ends here."""

    def __init__(self, reason: Reason, where: str) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.where = where


def write_documents(
    ledger: Ledger,
    platforms: Mapping[str, Platform],
    content: Content,
    renderer: Renderer,
    *,
    read_back_share: float = 0.0,
    park_after_seconds: float = PARK_AFTER_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Handler:
    """Handle one normalized record; `platforms` by destination id."""
    watch = Watch(after_seconds=park_after_seconds, clock=clock)
    writings = {key: Writing(ledger, platform, read_back_share=read_back_share) for key, platform in platforms.items()}

    async def on_document_normalized(record: Record) -> Outcomes:
        event = read_event(record.headers, record.value, default_type="", fallback_id=record.place)
        facts = facts_of(event)
        try:
            outcome = await _write(event, record, facts)
        except _Refused as refusal:
            return [Rejected(refusal.reason, refusal.where, facts)]
        except Unavailable as outage:
            if not watch.fail(event.destinationid or "", event.subject or "", outage):
                raise
            await ledger.park_patient(event.destinationid or "", event.subject or "", outage.why)
            return [Rejected(Reason.PATIENT_PARKED, None, facts)]
        watch.succeed(event.destinationid or "", event.subject or "")
        return [outcome]

    async def _write(event: Event, record: Record, facts: Facts) -> Outcome:
        patient_key, destination_id = _uuid(event.subject, "ce_subject"), event.destinationid or ""
        if not event.sourceversion or not destination_id:
            raise _Refused(Reason.MALFORMED_ENVELOPE, "ce_sourceversion" if destination_id else "ce_destinationid")
        if destination_id not in platforms:
            raise _Refused(Reason.PLATFORM_FORBIDDEN, "ce_destinationid")  # no account is configured for it
        known = replace(facts, platform=platforms[destination_id].name)
        if event.type == EventType.PATIENT_NORMALIZED:
            return await _write_patient(event, record, known, patient_key)
        if event.type == EventType.DOCUMENT_NORMALIZED:
            return await _write_document(event, record, known, patient_key)
        raise _Refused(Reason.MALFORMED_ENVELOPE, "ce_type")

    async def _write_patient(event: Event, record: Record, facts: Facts, patient_key: str) -> Outcome:
        try:
            patient = Patient.model_validate_json(await _data(event))
        except ValidationError as error:
            raise _Refused(Reason.MALFORMED_ENVELOPE, _place_of(error)) from None
        card = card_of(patient)
        if str(patient.id) != patient_key or card is None:
            raise _Refused(Reason.MALFORMED_ENVELOPE, "ce_subject") if card else _Refused(Reason.PATIENT_UNIDENTIFIED, "name")
        offer = _offer(event, record, digest_of_card(card), patient_key)
        return outcome_of(await writings[offer.destination_id].write(offer, _ready(card)), facts)

    async def _write_document(event: Event, record: Record, facts: Facts, patient_key: str) -> Outcome:
        document_id = _uuid(event.documentid, "ce_documentid")
        version = event.sourceversion or ""
        if event.syncaction == "withdraw":
            withdrawal = Withdrawal(document_id, platform_version(version))
            offer = _offer(event, record, digest(b"withdraw"), patient_key, document_id)
            return outcome_of(await writings[offer.destination_id].write(offer, _ready(withdrawal)), facts)
        try:
            document = HealthcareDocument.model_validate_json(await _data(event))
        except ValidationError as error:
            raise _Refused(Reason.MALFORMED_ENVELOPE, _place_of(error)) from None
        if str(document.id) != document_id:
            raise _Refused(Reason.MALFORMED_ENVELOPE, "ce_documentid")
        capabilities = platforms[event.destinationid or ""].capabilities()
        offer = _offer(event, record, digest_of_document(document), patient_key, document_id)
        made = facts

        async def prepare() -> Upload | Refusal:
            nonlocal made
            if not capabilities.write_documents:
                return Refusal(Reason.HANDOVER_NEEDED)
            max_bytes = capabilities.max_bytes
            try:
                files = {one.sha256: await _file(one.sha256) for one in wanted_files(document, max_bytes) if one.sha256}
            except _Refused as refusal:
                return Refusal(refusal.reason, refusal.where)
            rendered = await renderer.render(
                document, files, media_types=capabilities.media_types, max_bytes=max_bytes, rendering=capabilities.rendering
            )
            if rendered is None:
                return Refusal(Reason.UNSUPPORTED_MEDIA_TYPE, "content.attachments[0]")
            upload = upload_of(document, version, rendered)
            if len(upload.content) > max_bytes:
                return Refusal(Reason.CONTENT_TOO_LARGE, "content")
            made = replace(facts, sha256=upload.sha256, size=len(upload.content), warnings=rendered.warnings)
            return upload

        settlement = await writings[offer.destination_id].write(offer, prepare)
        return outcome_of(settlement, replace(made, document_type=str(document.type)))

    async def _data(event: Event) -> bytes:
        """The event's data, fetched where it is large."""
        if not event.contentref:
            return event.data
        try:
            return await content.get(event.contentref)
        except ContentMissing:
            raise _Refused(Reason.CONTENT_MISSING, "ce_contentref") from None

    async def _file(sha256: str) -> bytes:
        try:
            return await content.get(reference_to(sha256))
        except ContentMissing:
            raise _Refused(Reason.CONTENT_MISSING, "content.attachments[0]") from None

    return on_document_normalized


def facts_of(event: Event) -> Facts:
    """What the envelope says."""
    action = Action.UPSERT_PATIENT
    if event.type != EventType.PATIENT_NORMALIZED:
        action = Action.WITHDRAW_DOCUMENT if event.syncaction == "withdraw" else Action.WRITE_DOCUMENT
    return Facts(
        action=action,
        patient_key=event.subject,
        document_id=event.documentid,
        source_version=event.sourceversion,
        provider_id=event.providerid,
        clinic_id=event.clinicid,
        destination_id=event.destinationid,
        format=event.format,
    )


def outcome_of(settlement: Settlement, facts: Facts) -> Outcome:
    """The outcome that a settlement stands for."""
    known = replace(facts, external_id=settlement.external_id, warnings=(*facts.warnings, *settlement.warnings))
    if settlement.refusal is not None and settlement.status is Status.SKIPPED:
        return Skipped(settlement.refusal.reason, known)
    if settlement.refusal is not None:
        return Rejected(settlement.refusal.reason, settlement.refusal.where, known)
    return Unchanged(known) if settlement.status is Status.UNCHANGED else Done(settlement.status, known)


def _offer(event: Event, record: Record, content_digest: str, patient_key: str, document_id: str | None = None) -> Offer:
    version = event.sourceversion or ""
    return Offer(
        destination_id=event.destinationid or "",
        kind="document" if document_id else "patient",
        our_id=document_id or patient_key,
        patient_key=patient_key,
        version=platform_version(version) if document_id else version,
        digest=content_digest,
        place=record.place,
        is_withdrawal=document_id is not None and event.syncaction == "withdraw",
        is_replayed=event.replayid is not None,
        clinic_id=event.clinicid,
    )


def _ready(payload: Payload) -> Prepare:
    """A payload that is made already."""

    async def prepare() -> Payload:
        return payload

    return prepare


def _uuid(text: str | None, where: str) -> str:
    try:
        return str(UUID(text or ""))
    except ValueError:
        raise _Refused(Reason.MALFORMED_ENVELOPE, where) from None


def _place_of(error: ValidationError) -> str:
    """Where the model and the data part; names of fields only."""
    return ".".join(str(one) for one in error.errors(include_input=False, include_url=False)[0]["loc"][:4]) or "$"
