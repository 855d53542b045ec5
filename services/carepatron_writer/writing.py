"""The order of steps for one offer: read the ledger, decide, claim, call the platform, settle. links.py says why a crash is harmless."""

import contextlib
from dataclasses import dataclass

from services.carepatron_writer.core import Link, Offer, Refusal, Settlement, Verdict, decide, refused, settle
from services.carepatron_writer.links import Claim, Known, Ledger, Settled
from services.carepatron_writer.platforms.port import (
    Answer,
    Card,
    OutcomeUnknown,
    Parked,
    Platform,
    Rejected,
    RetryAfter,
    Unchanged,
    Upload,
)
from shared.errors import Unavailable
from shared.outcomes import Reason, Status

ROUNDS = 5  # claims lost to another writer before the lane pauses
GONE = frozenset({Reason.CONTACT_MISSING, Reason.CONTACT_MERGED})


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A document that is to be taken back."""

    document_id: str
    version: str


Payload = Card | Upload | Withdrawal


class Writing:
    """Brings offers to one platform through the ledger."""

    def __init__(self, ledger: Ledger, platform: Platform) -> None:
        self._ledger = ledger
        self._platform = platform

    async def write(self, offer: Offer, payload: Payload) -> Settlement:
        """The outcome of an offer. Raises Unavailable."""
        for _ in range(ROUNDS):
            known = await self._ledger.read(offer)
            verdict = decide(known.link, offer)
            settled = await self._settle_without_call(verdict, offer, known.link)
            if settled is not None:
                return settled
            seen = known.link.revision if known.link else 0
            if await self._ledger.claim(Claim(offer, seen)):
                return await self._call(offer, payload, known, seen + 1, is_read_first=verdict is Verdict.READ_FIRST)
        raise Unavailable("postgres", "the link keeps changing")

    async def _settle_without_call(self, verdict: Verdict, offer: Offer, link: Link | None) -> Settlement | None:
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

    async def _call(self, offer: Offer, payload: Payload, known: Known, seen: int, *, is_read_first: bool) -> Settlement:
        """Call the platform for a claim, and settle it. After an outage the link says whether something may have been sent."""
        may_be_sent = is_read_first
        try:
            if isinstance(payload, Card):
                external_id = known.link.external_id if known.link else None
                answer: Answer = await self._platform.upsert_patient(payload, external_id)
            else:
                contact = await self._contact(offer, known)
                if isinstance(contact, Refusal):
                    answer = Parked(contact.reason, contact.where)
                else:
                    found = await self._read_back(contact, payload) if is_read_first else None
                    may_be_sent = False
                    answer = found or await self._put(offer, contact, payload)
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
        await self._ledger.settle(Settled(offer, seen, settlement))
        return settlement

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

    async def _read_back(self, contact: str, payload: Upload | Withdrawal) -> Answer | None:
        """The answer to an earlier try, when the platform shows that it arrived."""
        if isinstance(payload, Withdrawal):
            return None  # taking back repeats harmlessly
        stored = await self._platform.find_document(contact, payload.document_id, payload)
        return Unchanged(stored.external_id) if stored is not None and stored.is_same and not stored.is_withdrawn else None

    async def _put(self, offer: Offer, contact: str, payload: Upload | Withdrawal) -> Answer:
        """Write; when the client is gone, once more to the client that carries our reference now."""
        answer = await self._put_once(contact, payload)
        if not isinstance(answer, (Parked, Rejected)) or answer.reason not in GONE:
            return answer
        found = await self._platform.find_patient(offer.patient_key)
        if found is None or found == contact:
            if answer.reason is Reason.CONTACT_MISSING:
                await self._ledger.forget_patient(offer.destination_id, offer.patient_key, contact)
            return answer
        await self._ledger.link_patient(offer.destination_id, offer.patient_key, found)
        return await self._put_once(found, payload)

    async def _put_once(self, contact: str, payload: Upload | Withdrawal) -> Answer:
        if isinstance(payload, Withdrawal):
            return await self._platform.withdraw_document(contact, payload.document_id, payload.version)
        return await self._platform.put_document(contact, payload)
