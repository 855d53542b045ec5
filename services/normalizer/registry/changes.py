"""What a reading offers to the registry, and what the registry says to it: plain values on both sides."""

import hashlib
from dataclasses import dataclass, field, replace

import msgspec

from services.normalizer.lens.changes import LensMark, Trail, trail
from services.normalizer.lens.summary import summary
from services.normalizer.registry.documents import Decision, Known, Offered, Rival, decide
from services.normalizer.registry.patients import Statement, is_other_person, merge, statement
from shared.canonical.models import HealthcareDocument, Patient
from shared.canonical.reading import PatientReading

ENCODER = msgspec.json.Encoder()
READING = msgspec.json.Decoder(PatientReading)


class Head(msgspec.Struct):
    """What the registry's columns say of a canonical document."""

    type: str
    status: str


HEAD = msgspec.json.Decoder(Head)


@dataclass(frozen=True, slots=True)
class OfferedDocument:
    """One document of a reading: its canonical JSON and what it says about the patient."""

    document: HealthcareDocument
    json: bytes
    statement_order: str
    offered: Offered


@dataclass(frozen=True, slots=True)
class Change:
    """One message for one patient. `statement_key` names the message when it holds no document."""

    provider_id: str
    patient_key: str
    reading: PatientReading
    statement_key: str
    statement_order: str
    documents: tuple[OfferedDocument, ...]


@dataclass(slots=True)
class PatientState:
    """A patient as stored, changed in place while a batch is planned."""

    patient_key: str
    provider_id: str
    statements: dict[str, Statement] = field(default_factory=dict)
    snapshot: bytes | None = None
    revision: int = 0
    published_revision: int = -1
    is_changed: bool = False
    is_outdated: bool = False  # statements changed since the snapshot was merged
    changed_statements: set[str] = field(default_factory=set)


@dataclass(slots=True)
class DocumentState:
    """A document as stored: what is known and the content of every rival by sha256."""

    known: Known
    contents: dict[str, "StoredContent"]
    type: str
    status: str
    is_changed: bool = False


@dataclass(slots=True)
class StoredContent:
    """One content: canonical JSON and the statement it makes."""

    json: bytes
    statement: bytes | None
    statement_order: str
    is_changed: bool = False


@dataclass(frozen=True, slots=True)
class AppliedDocument:
    """What became of one offered document; `json` and `version` are those shown now, None when nothing is to be published."""

    decision: Decision
    json: bytes | None
    version: str | None
    type: str
    status: str
    marks: tuple[LensMark, ...] = ()  # what it changed for a dietician
    notable: frozenset[str] = frozenset()  # the rules of the lens that it has something for, new or not


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a change. `is_other_person` says that nothing was stored."""

    snapshot: bytes | None = None
    revision: int = 0
    has_name: bool = False
    is_other_person: bool = False
    is_published: bool = False  # the broker has this snapshot already
    documents: tuple[AppliedDocument, ...] = ()
    marks: tuple[LensMark, ...] = ()  # of a message that holds no document


def content_of(document: HealthcareDocument, json: bytes, *, sha256: str, mapping: int, origin: str, order: str) -> OfferedDocument:
    """A document made ready to be offered."""
    rival = Rival(sha256, hashlib.sha256(json).hexdigest(), mapping, origin)
    return OfferedDocument(document, json, order, Offered(str(document.patient_id), document.source_version, rival))


def apply_change(change: Change, patient: PatientState, documents: dict[str, DocumentState]) -> Applied:
    """Apply one change to the states it concerns. Pure but for the states handed in."""
    merged = merge(patient.patient_key, patient.statements.values())
    if is_other_person(merged, change.reading):
        return Applied(is_other_person=True)
    applied = tuple(_apply_document(one, change, patient, documents) for one in change.documents)
    if not change.documents:
        _state(patient, statement(change.statement_key, change.statement_order, change.reading))
    changed = trail(patient.statements.values())
    if patient.is_outdated or patient.snapshot is None:
        merged = _refresh(patient, changed)
    is_published = patient.published_revision == patient.revision
    return Applied(
        patient.snapshot,
        patient.revision,
        merged.name is not None,
        is_published=is_published,
        documents=tuple(_marked(one, offered, patient, changed) for one, offered in zip(applied, change.documents, strict=True)),
        marks=() if change.documents else _marks(changed, change.statement_key),
    )


def _marked(one: AppliedDocument, offered: OfferedDocument, patient: PatientState, changed: Trail) -> AppliedDocument:
    """What became of a document, with what the lens says of the content that is shown."""
    key = str(offered.document.id)
    if one.json is None or key not in patient.statements:
        return one
    return replace(one, marks=_marks(changed, key), notable=patient.statements[key].sight.notable)


def _marks(changed: Trail, source_key: str) -> tuple[LensMark, ...]:
    return tuple(mark for mark, _ in changed.get(source_key, ()))


def _apply_document(one: OfferedDocument, change: Change, patient: PatientState, documents: dict[str, DocumentState]) -> AppliedDocument:
    """Apply one document; its statement counts only while its content is the one shown."""
    key = str(one.document.id)
    state = documents.get(key)
    decision, known = decide(state.known if state else None, one.offered)
    kind, status = one.document.type, one.document.status
    if decision in (Decision.OTHER_PATIENT, Decision.KIND_CHANGED, Decision.OLDER):
        return AppliedDocument(decision, None, None, kind, status)
    sha256 = one.offered.content.sha256
    if state is None or decision is Decision.NEWER:
        state = documents[key] = DocumentState(known, {}, kind, status, is_changed=True)
    stored = state.contents.get(sha256)
    same = next((rival for rival in known.rivals if rival.sha256 == sha256), None)
    if same is not None and (stored is None or decision is Decision.REMAPPED):
        state.contents[sha256] = StoredContent(one.json, ENCODER.encode(change.reading), one.statement_order, is_changed=True)
    if known != state.known:
        state.known, state.is_changed = known, True
        for rival in known.rivals:  # an origin or a mapping may have moved
            state.contents[rival.sha256].is_changed = True
    shown = state.contents[known.shown]
    head = HEAD.decode(shown.json)
    state.type, state.status = head.type, head.status
    if shown.statement is not None:
        said = READING.decode(shown.statement)
        is_withdrawn = state.status == "withdrawn"
        _state(patient, statement(key, shown.statement_order, said, is_withdrawn=is_withdrawn, document=shown.json))
    return AppliedDocument(decision, shown.json, known.platform_version, state.type, state.status)


def _state(patient: PatientState, made: Statement) -> None:
    """Keep a statement; one that is known already changes nothing."""
    if patient.statements.get(made.source_key) == made:
        return
    patient.statements[made.source_key] = made
    patient.changed_statements.add(made.source_key)
    patient.is_outdated = True


def _refresh(patient: PatientState, changed: Trail) -> Patient:
    """Merge again; a snapshot that differs gets the next revision."""
    merged: Patient = merge(patient.patient_key, patient.statements.values())
    patient.is_outdated = False
    merged.nutrition_changes = summary(changed)
    left_out = {"user_id", "carepatron_patient_id"} | (set() if merged.nutrition_changes else {"nutrition_changes"})
    snapshot = merged.model_dump_json(exclude=left_out).encode()
    if snapshot != patient.snapshot:
        patient.snapshot = snapshot
        patient.revision += 1
        patient.is_changed = True
    return merged
