"""The decisions of the writer, pure: what a link means for what is offered, and a patient as a platform's client card."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Literal

import orjson

from services.carepatron_writer.platforms.port import (
    Answer,
    Candidate,
    Card,
    Conflict,
    Created,
    Parked,
    Rejected,
    RetryAfter,
    Stale,
    Unchanged,
    Updated,
    Upload,
)
from services.carepatron_writer.rendering import Rendered, change_entry, clean, render_text, upload_of
from shared.canonical.models import HealthcareDocument, Patient
from shared.identity import digest
from shared.outcomes import Reason, Status

Kind = Literal["patient", "document"]
State = Literal["waiting", "sending", "applied", "withdrawn", "superseded", "refused"]
_FACTS = tuple(one.name for one in fields(Upload) if one.name not in ("content", "version"))
_FULL_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Offer:
    """A patient's snapshot or a version of a document that a record brings for one destination."""

    destination_id: str
    kind: Kind
    our_id: str
    patient_key: str
    version: str
    digest: str
    place: str  # coordinates of the record
    is_withdrawal: bool = False
    is_replayed: bool = False
    clinic_id: str | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is about."""
        return self.destination_id, self.kind, self.our_id


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not, and where."""

    reason: Reason
    where: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A row of the ledger. `place` is the record that last claimed or settled it."""

    state: State
    version: str
    digest: str
    place: str
    revision: int
    external_id: str | None = None
    status: Status | None = None
    refusal: Refusal | None = None
    repairs: int = 0  # how often it was written again under one version of its source


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person has said about a patient and a platform. `moving`: it is being carried out, the writer keeps off."""

    kind: Literal["moving", "link", "create", "leave"]
    external_id: str | None = None  # of the client, for `link`


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a claim ends: the state of its link and the outcome."""

    state: State
    status: Status
    external_id: str | None = None
    refusal: Refusal | None = None
    warnings: tuple[str, ...] = ()
    candidates: tuple[Candidate, ...] = ()  # of a possible duplicate: a person decides
    content_sha256: str | None = None  # of the bytes that the platform has now


class Verdict(StrEnum):
    """What to do with an offer."""

    SEND = "send"  # nothing like it was tried
    READ_FIRST = "read first"  # an earlier try may have arrived
    REPEATED = "repeated"  # this very record settled it: say the same again
    UNCHANGED = "unchanged"  # the platform has it
    ADVANCE = "advance"  # the platform has these facts of the patient under an earlier revision
    SUPERSEDED = "superseded"  # something newer is known
    CONFLICT = "conflict"  # other content under the same version


def decide(link: Link | None, offer: Offer) -> Verdict:
    """What a link means for an offer; the table is in tests/unit/carepatron_writer/test_core.py."""
    if link is None:
        return Verdict.SEND
    if link.state not in ("waiting", "sending") and link.place == offer.place and link.status is not None:
        return Verdict.REPEATED
    if offer.version < link.version:
        return Verdict.SUPERSEDED
    if link.state == "sending":
        return Verdict.READ_FIRST
    if link.state in ("waiting", "refused"):
        return Verdict.SEND
    return _decide_patient(link, offer) if offer.kind == "patient" else _decide_document(link, offer)


def _decide_patient(link: Link, offer: Offer) -> Verdict:
    """Snapshots have no versions on the platform: only what they say counts."""
    if link.digest != offer.digest:
        return Verdict.SEND
    return Verdict.ADVANCE if offer.version > link.version else Verdict.UNCHANGED


def _decide_document(link: Link, offer: Offer) -> Verdict:
    if offer.version > link.version:
        return Verdict.SEND
    if link.state == "superseded":
        return Verdict.SUPERSEDED
    if link.state == "withdrawn":
        return Verdict.UNCHANGED if offer.is_withdrawal else Verdict.SUPERSEDED
    if offer.is_withdrawal:
        return Verdict.SEND
    return Verdict.UNCHANGED if link.digest == offer.digest else Verdict.CONFLICT


def repaired(version: str, repairs: int) -> str:
    """The version for the platform: after a repair a little higher, so that the platform takes it, below every later version."""
    return f"{version}.r{repairs:04d}" if repairs else version


def settle(answer: Answer, offer: Offer, earlier: Link | None) -> Settlement:
    """What a platform's answer makes of a claim. `earlier` is a try whose answer never came: if it was this record's, so is its effect."""
    match answer:
        case Created(external_id, warnings):
            return Settlement("applied", Status.CREATED, external_id, warnings=warnings)
        case Updated(external_id, warnings):
            if offer.is_withdrawal:
                return Settlement("withdrawn", Status.WITHDRAWN, external_id)
            return Settlement("applied", Status.UPDATED, external_id, warnings=warnings)
        case Unchanged(external_id, warnings):
            is_ours = earlier is not None and earlier.place == offer.place and earlier.digest == offer.digest and external_id is not None
            if offer.is_withdrawal:
                return Settlement("withdrawn", Status.WITHDRAWN if is_ours else Status.UNCHANGED, external_id)
            status = Status.UNCHANGED
            if is_ours:
                status = Status.CREATED if earlier is None or earlier.external_id is None else Status.UPDATED
            return Settlement("applied", status, external_id, warnings=warnings)
        case Stale():
            return Settlement("superseded", Status.SUPERSEDED)
        case Conflict():
            return refused(Reason.VERSION_CONFLICT)
        case Parked(reason, where, candidates):
            return Settlement("refused", Status.REJECTED, refusal=Refusal(reason, where), candidates=candidates)
        case Rejected(reason, where):
            return refused(reason, where)
        case RetryAfter():
            raise ValueError("a wish to come back settles nothing")  # writing.py has turned it into an outage


def refused(reason: Reason, where: str | None = None) -> Settlement:
    """A claim that ends in a refusal."""
    return Settlement("refused", Status.REJECTED, refusal=Refusal(reason, where))


def digest_of_card(card: Card) -> str:
    """Digest of what a card says."""
    return digest(orjson.dumps(card, option=orjson.OPT_SORT_KEYS))


def digest_of_document(document: HealthcareDocument) -> str:
    """Digest of what a document says on a platform: its facts, all its words, its files. The version stands beside it.

    Made before anything is rendered: what the platform has already costs no rendering.
    """
    upload = upload_of(document, "", Rendered(render_text(document), "text/plain"))
    said = [getattr(upload, name) for name in _FACTS]
    files = [(one.media_type, one.sha256) for one in document.content.attachments]
    return digest(orjson.dumps([said, files], option=orjson.OPT_SORT_KEYS))


def card_of(patient: Patient) -> Card | None:
    """The patient as a client card; None without a name. Lists in an order of their own, so that equal patients make equal cards."""
    name = patient.name
    if name is None:
        return None
    first, last = clean(" ".join(name.given)), clean(name.family or "")
    if not first and not last:
        last = clean(name.text or "")
    if not first and not last:
        return None
    emails = [one for one in [patient.email, *patient.contact_details.emails] if one and "@" in one]
    phones = [clean(one.value) for one in patient.contact_details.phones if one.value]
    born = (patient.birth_date or "")[:10]
    return Card(
        patient_key=str(patient.id),
        first_name=first,
        last_name=last,
        email=clean(emails[0]) if emails else None,
        phone=phones[0] if phones else None,
        birth_date=born if _FULL_DATE.fullmatch(born) else None,  # a card has no place for less precise dates
        medical_history=_entries(patient.medical_history),
        dietary_preferences=_entries(patient.dietary_preferences),
        nutrition_changes=tuple(change_entry(one) for one in patient.nutrition_changes),
    )


def _entries(facts: list[Any]) -> tuple[dict[str, Any], ...]:
    entries = [_entry(asdict(one)) for one in facts]
    return tuple(sorted(entries, key=lambda one: orjson.dumps(one, option=orjson.OPT_SORT_KEYS)))


def _entry(fact: Mapping[str, Any]) -> dict[str, Any]:
    """One fact as the platform shows it; a negated one keeps its mark."""
    entry: dict[str, Any] = {"kind": fact["kind"]}
    code = {name: clean(value) for name, value in (fact.get("code") or {}).items() if isinstance(value, str) and value}
    if code:
        entry["code"] = code
    for name, value in fact.items():
        if name in ("kind", "code", "source_document_id") or value in (None, "", [], False):
            continue
        entry[name] = [clean(one) for one in value] if isinstance(value, list) else clean(value) if isinstance(value, str) else value
    if fact.get("source_document_id"):
        entry["sourceDocumentId"] = str(fact["source_document_id"])
    return entry
