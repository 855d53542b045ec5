"""The decisions of the normalizer, pure: from a reading to a change of the registry, from its answer to outcomes and events."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from services.normalizer.lens.changes import LensMark
from services.normalizer.registry.changes import ENCODER, Applied, AppliedDocument, Change, OfferedDocument, content_of
from services.normalizer.registry.documents import Decision
from services.normalizer.times import sortable_time
from shared.canonical.models import DocumentType, HealthcareDocument
from shared.canonical.reading import DocumentReading, PatientReading, ProviderProfile, Reading
from shared.events import Event, EventType
from shared.outcomes import Action, Done, Facts, LossCounts, Outcome, Reason, Rejected, Skipped, Status

MAPPING = 2  # counts changes of readers or tables that change what is read; a replay then updates what was written before
MAX_PATHS = 40  # of a message, told to the log
RESOURCE_ID = "resource"  # type of an identifier that is only the sender's resource id


@dataclass(frozen=True, slots=True)
class Passed:
    """What goes on to the platforms for one document or, with `document` None, for the patient alone."""

    part: int
    document: AppliedDocument | None
    marks: tuple[LensMark, ...] = ()  # what it changed for a dietician


def facts_of(event: Event, *, part: int = 0, size: int | None = None) -> Facts:
    """What is known of an event before it is read."""
    return Facts(
        part=part,
        action=Action.NORMALIZE,
        provider_id=event.providerid,
        document_id=event.documentid,
        format=event.format,
        sha256=event.sha256,
        size=size,
        mapping_version=str(MAPPING),
    )


def refuse(reading: Reading, facts: Facts) -> Outcome | None:
    """The outcome of a reading that ends here; None when it goes on."""
    known = replace(facts, format=reading.format, warnings=warning_codes(reading))
    if reading.outcome == "rejected":
        return Rejected(reading.reason or Reason.UNSUPPORTED_CONTENT, reading.where, known)
    if reading.outcome == "skipped":
        return Skipped(reading.reason or Reason.NO_CLINICAL_CONTENT, known)
    if reading.merges:
        return Rejected(Reason.MERGE_REQUESTED, "MRG", replace(known, patient_key=reading.merges[0][0], action=Action.MERGE_PATIENT))
    if len(reading.patients) > 1:
        return Rejected(Reason.SEVERAL_PATIENTS, None, known)
    return None


def warning_codes(reading: Reading) -> tuple[str, ...]:
    """The codes of a reading's warnings, each once."""
    return tuple(sorted({one.code for one in reading.warnings}))


def losses_of(reading: Reading) -> LossCounts | None:
    """The reading's ledger as it travels to the log: counts, and the paths that were missed most."""
    losses = reading.losses
    if losses is None:
        return None
    most = sorted(losses.unmapped.items(), key=lambda one: (-one[1], one[0]))[:MAX_PATHS]
    return LossCounts(losses.mapped, sum(losses.ignored.values()), sum(losses.unmapped.values()), dict(most))


def with_losses(outcomes: list[Outcome], reading: Reading) -> list[Outcome]:
    """The outcomes of a message; the first one carries its ledger, so that it counts once."""
    return [replace(one, facts=replace(one.facts, losses=losses_of(reading))) if at == 0 else one for at, one in enumerate(outcomes)]


def patient_of(reading: Reading, named: str | None) -> PatientReading | None:
    """Whose the reading is: the patient that it names, else the key that the publisher named; None when neither.

    Facts of a fragment that names nobody belong to whom the publisher named.
    """
    if reading.patients:
        is_nameless = bool(reading.documents) and all(one.patient_key is None for one in reading.documents)
        return replace(reading.patients[0], patient_key=named) if named and is_nameless else reading.patients[0]
    key = next((one.patient_key for one in reading.documents if one.patient_key), None) or named
    return PatientReading(patient_key=key) if key else None


def resource_reference(patient: PatientReading) -> tuple[str, str] | None:
    """System and value of the only thing known of a patient, a resource id; such a patient may be known by another key."""
    if patient.name is None and patient.identifiers and all(one.type == RESOURCE_ID for one in patient.identifiers):
        return patient.identifiers[0].system or "", patient.identifiers[0].value
    return None


def plan(reading: Reading, patient: PatientReading, provider: ProviderProfile, *, sha256: str, origin: str) -> Change:
    """What a reading offers to the registry."""
    key = patient.patient_key
    stated = sortable_time(reading.source_time, provider.time_zone)
    for identifier in patient.identifiers:
        identifier.value = identifier.value.replace("\0", "")
        identifier.system = identifier.system.replace("\0", "") if identifier.system else None
    # the order must not hang on the message that carried it: the same facts sent again say the same
    said = hashlib.sha256(ENCODER.encode(patient)).hexdigest()[:16]
    offered: list[OfferedDocument] = []
    for one in reading.documents:
        document = canonical(one, key)
        order = f"{stated}|{one.source_version}|{said}"
        offered.append(
            content_of(document, document.model_dump_json().encode(), sha256=sha256, mapping=MAPPING, origin=origin, order=order)
        )
    return Change(provider.provider_id, key, patient, f"message|{said}", f"{stated}||{said}", tuple(offered))


def canonical(reading: DocumentReading, patient_key: str) -> HealthcareDocument:
    """The document in the owner's model."""
    return HealthcareDocument.model_construct(
        id=UUID(reading.document_id),
        patient_id=UUID(patient_key),
        type=DocumentType(reading.type),
        date=reading.date,
        content=reading.content,
        source=reading.source,
        type_coding=reading.type_coding,
        title=reading.title,
        status=reading.status,
        authors=reading.authors,
        identifiers=reading.identifiers,
        source_version=reading.source_version,
        relations=reading.relations,
    )


def settle(reading: Reading, change: Change, applied: Applied, facts: Facts) -> tuple[list[Outcome], list[Passed]]:
    """Outcomes of what ends here, and what is passed on."""
    known = replace(facts, format=reading.format, patient_key=change.patient_key, warnings=warning_codes(reading))
    if applied.is_other_person:
        return [Rejected(Reason.PATIENT_CONFLICT, None, replace(known, document_id=_first_id(change)))], []
    if not change.documents:
        return ([], [Passed(0, None, applied.marks)]) if applied.has_name else ([Rejected(Reason.PATIENT_UNIDENTIFIED, None, known)], [])
    ended: list[Outcome] = []
    passed: list[Passed] = []
    for part, (offered, became) in enumerate(zip(change.documents, applied.documents, strict=True)):
        one = document_facts(known, offered.document, part)
        match became.decision:
            case Decision.OLDER:
                ended.append(Done(Status.SUPERSEDED, one))
            case Decision.OTHER_PATIENT:
                ended.append(Rejected(Reason.DOCUMENT_OF_ANOTHER_PATIENT, None, one))
            case Decision.KIND_CHANGED:
                ended.append(Rejected(Reason.VERSION_KIND_CHANGED, None, one))
            case _ if not applied.has_name:  # no platform takes a client without a name
                ended.append(Rejected(Reason.PATIENT_UNIDENTIFIED, None, one))
            case _:
                passed.append(Passed(part, became, became.marks))
    return ended, passed


def document_facts(facts: Facts, document: HealthcareDocument, part: int) -> Facts:
    """The facts of one document of a record."""
    return replace(facts, part=part, document_id=str(document.id), document_type=str(document.type), source_version=document.source_version)


def patient_event(cause: Event, change: Change, applied: Applied, *, clinic_id: str, destination_id: str) -> Event:
    """The patient's snapshot for one destination."""
    return Event.after(
        cause,
        type=EventType.PATIENT_NORMALIZED,
        part=f"patient|{applied.revision}|{destination_id}",
        data=applied.snapshot or b"",
        contenttype="application/json",
        subject=change.patient_key,
        sourceversion=f"patient:{applied.revision:020d}",
        clinicid=clinic_id,
        destinationid=destination_id,
    )


def document_event(cause: Event, change: Change, one: AppliedDocument, part: int, *, clinic_id: str, destination_id: str) -> Event:
    """One document, as it is shown now, for one destination."""
    return Event.after(
        cause,
        type=EventType.DOCUMENT_NORMALIZED,
        part=f"{part}|{destination_id}",
        data=one.json or b"",
        contenttype="application/json",
        subject=change.patient_key,
        documentid=str(change.documents[part].document.id),
        sourceversion=one.version,
        syncaction="withdraw" if one.status == "withdrawn" else "upsert",
        clinicid=clinic_id,
        destinationid=destination_id,
    )


def normalized(facts: Facts, change: Change, passed: Passed, coordinates: Sequence[str], decision: Decision | None) -> Outcome:
    """The outcome of what was passed on; a conflict of versions is flagged."""
    marks = tuple(dict.fromkeys(one.code for one in passed.marks))
    known = replace(facts, patient_key=change.patient_key, passed_on=tuple(coordinates), nutrition=marks)
    if passed.document is not None:
        known = document_facts(known, change.documents[passed.part].document, passed.part)
    if decision in (Decision.CONFLICT_SHOWN, Decision.CONFLICT_KEPT):
        known = replace(known, warnings=(*known.warnings, str(Reason.VERSION_CONFLICT)))
    return Done(Status.NORMALIZED, known)


def _first_id(change: Change) -> str | None:
    """The id of the first document offered."""
    return str(change.documents[0].document.id) if change.documents else None
