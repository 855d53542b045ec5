"""The order of steps for one offer: read the ledger, decide, claim, call the platform, settle. links.py says why a crash is harmless."""

import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from services.carepatron_writer.core import Decision, Link, Offer, Refusal, Settlement, Verdict, decide, refused, repaired, settle
from services.carepatron_writer.links import Claim, Known, Ledger, Settled
from services.carepatron_writer.platforms.port import (
    PRIORITY,
    Answer,
    Card,
    Created,
    OutcomeUnknown,
    Parked,
    Platform,
    Priority,
    ReadBack,
    Rejected,
    RetryAfter,
    Unchanged,
    Updated,
    Upload,
)
from shared.errors import Unavailable
from shared.outcomes import Reason, Status

ROUNDS = 5  # claims lost to another writer before the lane pauses
GONE = frozenset({Reason.CONTACT_MISSING, Reason.CONTACT_MERGED})
MOVING_PAUSE_SECONDS = 2.0
SIGHTINGS = 3  # tries in a row that read back the same other bytes before we believe it


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A document that is to be taken back."""

    document_id: str
    version: str


Payload = Card | Upload | Withdrawal
Prepare = Callable[[], Awaitable[Payload | Refusal]]  # made only for what is really sent: rendering costs more than deciding


class Writing:
    """Brings offers to one platform through the ledger. `read_back_share` of all writes is read back and compared, by chance."""

    def __init__(
        self, ledger: Ledger, platform: Platform, *, read_back_share: float = 0.0, chance: Callable[[], float] = random.random
    ) -> None:
        self._ledger = ledger
        self._platform = platform
        self._read_back_share = read_back_share
        self._chance = chance
        self._doubts: dict[str, tuple[ReadBack | None, int]] = {}  # by document: what was read back instead, and how often

    async def write(self, offer: Offer, prepare: Prepare) -> Settlement:
        """The outcome of an offer. Raises Unavailable."""
        for _ in range(ROUNDS):
            known = await self._ledger.read(offer)
            verdict = decide(known.link, offer)
            settled = await self._settle_without_call(verdict, offer, known)
            if settled is not None:
                return settled
            PRIORITY.set(priority_of(offer, known.link))
            await self._platform.admit()
            seen = known.link.revision if known.link else 0
            if await self._ledger.claim(Claim(offer, seen)):
                return await self._send(offer, prepare, known, seen + 1, is_read_first=verdict is Verdict.READ_FIRST)
        raise Unavailable("postgres", "the link keeps changing")

    async def _settle_without_call(self, verdict: Verdict, offer: Offer, known: Known) -> Settlement | None:
        link, decision = known.link, known.decision
        if known.is_parked:
            return refused(Reason.PATIENT_PARKED)
        if decision is not None and decision.kind == "moving":
            raise Unavailable(offer.destination_id, "a decision is carried out", retry_after_seconds=MOVING_PAUSE_SECONDS)
        if decision is not None and decision.kind == "leave" and not (offer.is_withdrawal and link is not None):
            return Settlement("refused", Status.SKIPPED, refusal=Refusal(Reason.LEFT_OUT_BY_CLINIC))
        if link is None or verdict in (Verdict.SEND, Verdict.READ_FIRST):
            return None
        match verdict:
            case Verdict.REPEATED:
                return Settlement(link.state, link.status or Status.UNCHANGED, link.external_id, link.refusal)
            case Verdict.SUPERSEDED:
                return Settlement("superseded", Status.SUPERSEDED, link.external_id)
            case Verdict.CONFLICT:
                return refused(Reason.VERSION_CONFLICT)
        unchanged = Settlement(link.state, Status.UNCHANGED, link.external_id)
        if verdict is Verdict.ADVANCE:
            await self._ledger.settle(Settled(offer, link.revision, unchanged))
        return unchanged

    async def _send(self, offer: Offer, prepare: Prepare, known: Known, seen: int, *, is_read_first: bool) -> Settlement:
        """Call the platform for a claim, and settle it. After an outage the link says whether something may have been sent."""
        may_be_sent = is_read_first
        try:
            payload = await prepare()
            if isinstance(payload, Refusal):
                answer: Answer = Rejected(payload.reason, payload.where)
            elif isinstance(payload, Card):
                answer = await self._upsert_patient(offer, payload, known)
            else:
                if known.link is not None:
                    payload = replace(payload, version=repaired(payload.version, known.link.repairs))
                contact = await self._contact(offer, known)
                if isinstance(contact, Refusal) and isinstance(payload, Withdrawal) and not (known.link and known.link.external_id):
                    answer = Unchanged()  # it never came there: nothing to take back
                elif isinstance(contact, Refusal):
                    answer = Parked(contact.reason, contact.where)
                else:
                    found = await self._find_earlier(contact, payload) if is_read_first else None
                    may_be_sent = False
                    contact, answer = (contact, found) if found else await self._put(offer, contact, payload)
                    may_be_sent = isinstance(answer, (Created, Updated, Unchanged))
                    answer = await self._read_back(offer, contact, payload, answer, is_wanted=is_read_first)
        except OutcomeUnknown:
            raise  # the link stays `sending`
        except Unavailable:
            if not may_be_sent:
                with contextlib.suppress(Unavailable):  # then it stays `sending`, which costs a reading
                    await self._ledger.settle(Settled(offer, seen, None))
            raise
        if isinstance(answer, RetryAfter):
            await self._ledger.settle(Settled(offer, seen, None))
            raise Unavailable(offer.destination_id, "asked to wait", retry_after_seconds=answer.seconds, is_target_down=answer.is_for_all)
        settlement = settle(answer, offer, known.link if is_read_first else None)
        if isinstance(payload, Upload) and settlement.state == "applied":
            settlement = replace(settlement, content_sha256=payload.sha256)
        await self._ledger.settle(Settled(offer, seen, settlement))
        return settlement

    async def _upsert_patient(self, offer: Offer, card: Card, known: Known) -> Answer:
        """With what a person has decided; a new question is put to a person."""
        decision = known.decision or Decision("link")
        external_id = (known.link.external_id if known.link else None) or decision.external_id
        answer = await self._platform.upsert_patient(card, external_id, is_new=decision.kind == "create")
        if isinstance(answer, Parked) and answer.candidates:
            await self._ledger.ask_person(offer.destination_id, offer.patient_key, offer.clinic_id, answer.candidates)
        return answer

    async def _contact(self, offer: Offer, known: Known) -> str | Refusal:
        """What the platform calls the document's patient, or why there is no such client."""
        if known.patient_external_id is not None:
            return known.patient_external_id
        if known.patient_refusal is not None:
            return known.patient_refusal
        found = await self._platform.find_patient(offer.patient_key)
        if found is None:
            return Refusal(Reason.CONTACT_MISSING)
        await self._ledger.link_patient(offer.destination_id, offer.patient_key, found)
        return found

    async def _find_earlier(self, contact: str, payload: Upload | Withdrawal) -> Answer | None:
        """The answer to an earlier try, when the platform shows that it arrived."""
        if isinstance(payload, Withdrawal):
            return None  # taking back repeats harmlessly
        stored = await self._platform.find_document(contact, payload.document_id, payload)
        return Unchanged(stored.external_id) if stored is not None and stored.is_same and not stored.is_withdrawn else None

    async def _read_back(self, offer: Offer, contact: str, payload: Upload | Withdrawal, answer: Answer, *, is_wanted: bool) -> Answer:
        """The answer, unless the platform gives out other bytes than it took: always looked at after an unknown outcome, else by chance."""
        if not isinstance(payload, Upload) or not isinstance(answer, (Created, Updated, Unchanged)):
            return answer
        if not is_wanted and (isinstance(answer, Unchanged) or self._chance() >= self._read_back_share):
            return answer
        found = await self._platform.read_back(contact, payload.document_id)
        if found is not None and (found.version > payload.version or (found.version, found.sha256) == (payload.version, payload.sha256)):
            self._doubts.pop(payload.document_id, None)
            return answer
        before, times = self._doubts.get(payload.document_id, (found, 0))
        times = times + 1 if before == found else 1
        if times < SIGHTINGS:  # one broken answer is no proof
            self._doubts[payload.document_id] = (found, times)
            raise Unavailable(offer.destination_id, "what is read back differs")
        del self._doubts[payload.document_id]
        return Parked(Reason.READ_BACK_DIFFERS, "content")

    async def _put(self, offer: Offer, contact: str, payload: Upload | Withdrawal) -> tuple[str, Answer]:
        """Write; when the client is gone, once more to the client that carries our reference now. Also says to whom."""
        answer = await self._put_once(contact, payload)
        if not isinstance(answer, (Parked, Rejected)) or answer.reason not in GONE:
            return contact, answer
        found = await self._platform.find_patient(offer.patient_key)
        if found is None or found == contact:
            if answer.reason is Reason.CONTACT_MISSING:
                await self._ledger.forget_patient(offer.destination_id, offer.patient_key, contact)
            return contact, answer
        await self._ledger.link_patient(offer.destination_id, offer.patient_key, found)
        return found, await self._put_once(found, payload)

    async def _put_once(self, contact: str, payload: Upload | Withdrawal) -> Answer:
        if isinstance(payload, Upload):
            return await self._platform.put_document(contact, payload)
        if not self._platform.capabilities().withdraw:
            return Parked(Reason.WITHDRAWAL_BY_HAND)
        return await self._platform.withdraw_document(contact, payload.document_id, payload.version)


def priority_of(offer: Offer, link: Link | None) -> Priority:
    """Live before replayed; corrections and withdrawals of what the platform shows before what is new there."""
    is_correction = link is not None and link.external_id is not None and offer.kind == "document"
    if offer.is_replayed:
        return Priority.REPLAYED_CORRECTION if is_correction else Priority.REPLAYED
    return Priority.LIVE_CORRECTION if is_correction else Priority.LIVE
