"""Documents on a FHIR server, written: read, decide, write under a guard, and again when somebody was faster (PLATFORMS.md 3, 2 to 8)."""

from collections.abc import Sequence

from services.carepatron_writer.platforms.fhir_r4.account import ROUNDS, Account
from services.carepatron_writer.platforms.fhir_r4.documents import Documents, is_ambiguous, newest
from services.carepatron_writer.platforms.fhir_r4.followups import Followups
from services.carepatron_writer.platforms.fhir_r4.heads import Head
from services.carepatron_writer.platforms.fhir_r4.patients import Patients
from services.carepatron_writer.platforms.fhir_r4.resources import Making, Relation, master_of, withdrawn
from services.carepatron_writer.platforms.fhir_r4.sending import Plan, Sending
from services.carepatron_writer.platforms.fhir_r4.validation import fault_in
from services.carepatron_writer.platforms.fhir_r4.verdicts import Verdict, verdict_on
from services.carepatron_writer.platforms.fhir_r4.wire import Mediated, NotOffered, Raced, Resource, Result, Several, TooLarge, Written
from services.carepatron_writer.platforms.port import Answer, Conflict, Created, Parked, Rejected, Stale, Unchanged, Updated, Upload
from shared.outcomes import Reason

POLLS = 4
FIRST_POLL_SECONDS = 0.5
SUBMISSION_SECONDS = 3600.0  # how long a mediated submission is waited for before it is sent again
MOST_SUBMITTED = 10_000
SEVERAL = Parked(Reason.POSSIBLE_DUPLICATE, "DocumentReference.identifier")


class Submissions:
    """One account's document writes. Raises Unavailable, or OutcomeUnknown when a write may have happened."""

    def __init__(self, account: Account, patients: Patients, documents: Documents) -> None:
        self._account = account
        self._patients = patients
        self._documents = documents
        self._followups = Followups(account, documents)
        self._sending = Sending(account)
        self._is_in_place = account.settings.supersede == "in_place" and account.settings.submission == "rest"
        self._is_simplified = account.settings.submission == "iti_105"
        self._submitted: dict[str, float] = {}  # mediated, and until when they are waited for

    async def put(self, patient: str, upload: Upload) -> Answer:
        """Bring a version there, unless something newer or other is there already."""
        refusal = await self._patients.refusal(patient)
        if refusal is not None:
            return refusal
        async with self._account.turn(upload.document_id):
            for turn in range(ROUNDS):
                await self._account.pause(turn)
                answer = await self._put_once(patient, upload, is_again=turn > 0)
                if _is_about_a_reference(answer):  # the patient has gone? servers say that in many ways, and mean other references too
                    answer = await self._patients.refusal(patient) or (answer if isinstance(answer, Rejected) else None)
                if answer is not None:
                    return answer
        raise self._account.changing("document")

    async def withdraw(self, patient: str, document_id: str, version: str) -> Answer:
        """status = entered-in-error on every version that the patient's record shows; never DELETE. Also where the patient is archived."""
        async with self._account.turn(document_id):
            for turn in range(ROUNDS):
                await self._account.pause(turn)
                answer = await self._withdraw_once(patient, document_id, version)
                if answer is not None:
                    return answer
        raise self._account.changing("document")

    async def _put_once(self, patient: str, upload: Upload, *, is_again: bool) -> Answer | None:
        """One round; None when somebody was faster."""
        heads = await self._heads(upload.document_id, is_again=is_again)
        if is_ambiguous(heads, is_in_place=self._is_in_place):
            return SEVERAL
        head = newest(heads)
        match verdict_on(head, upload, patient):
            case Verdict.STALE:
                return Stale()
            case Verdict.CONFLICT:
                return Conflict()
            case Verdict.UNREADABLE:
                return Parked(Reason.READ_BACK_DIFFERS, "DocumentReference.extension")
            case Verdict.UNCHANGED if head is not None:
                self._submitted.pop(master_of(upload.document_id, upload.version), None)
                replaced = await self._replaced(patient, upload, heads if upload.status == "superseded" else _without(heads, head))
                return Unchanged(head.id, await self._followups.supersede(one.id for one in replaced))
        return await self._write(patient, upload, heads)

    async def _write(self, patient: str, upload: Upload, heads: Sequence[Head]) -> Answer | None:
        self._check_submitted(upload)
        head = newest(heads)
        # the same version at another patient is no new one: it moves
        is_changed = head is not None and (self._is_in_place or head.version == upload.version)
        replaced = await self._replaced(patient, upload, [] if self._is_in_place else _without(heads, head if is_changed else None))
        relations = [Relation(one.id, one.document_id) for one in replaced]
        if upload.supersedes and upload.supersedes not in {one.document_id for one in replaced}:
            relations.append(Relation(document_id=upload.supersedes))
        plan = Plan(
            upload,
            Making(
                patient,
                created=(head.created if head and is_changed else None) or self._account.instant(),
                count=head.count + 1 if head else 1,
                replaced=relations,
                custodian=self._account.settings.custodian,
            ),
            changed=head if is_changed else None,
            superseded=replaced,
        )
        result = await self._sending.send(plan)
        return await self._settle(plan, head, result)

    async def _settle(self, plan: Plan, head: Head | None, result: Result) -> Answer | None:
        """What became of a write, with what is left to do after it."""
        upload = plan.upload
        match result:
            case Several():
                return SEVERAL
            case Raced():
                return None
            case TooLarge():
                return Rejected(Reason.CONTENT_TOO_LARGE, "content")
            case NotOffered():
                return Rejected(Reason.PLATFORM_REJECTED, "DocumentReference.update")  # SUPERSEDE=new_document is for such servers
            case Mediated():
                return await self._awaited(upload, head)
            case Written(found_id, is_new):
                if plan.changed is None and not is_new:  # made by somebody else a moment ago
                    if plan.guard == "identity":
                        await self._followups.restore_newer(found_id, upload)
                    return None
                if plan.changed is None and (plan.guard == "nothing" or not self._is_in_place):
                    answer = await self._followups.look_again(found_id, upload, is_in_place=self._is_in_place)
                    if answer is not None:
                        return answer
                own = [found_id] if upload.status == "superseded" and self._is_simplified else []  # ITI-105 takes only current ones
                warnings = await self._followups.supersede([*(one.id for one in plan.superseded), *own])
                return Created(found_id, warnings) if head is None else Updated(found_id, warnings)
            case _:
                return result

    async def _withdraw_once(self, patient: str, document_id: str, version: str) -> Answer | None:
        heads = [one for one in await self._heads(document_id, is_again=True) if one.patient == patient]
        last = newest(heads)
        if last is None:
            return Unchanged()
        if version < last.version:
            return Stale()
        shown = [one for one in heads if not one.is_withdrawn or (one is last and one.version < version)]
        for one in shown:
            found = await self._account.wire.read("read_document", one.id)
            if not isinstance(found, Resource):
                return found
            body = withdrawn(found.body, version if one is last else one.version)
            if (where := fault_in(body)) is not None:
                return Rejected(Reason.PLATFORM_REJECTED, where)
            result = await self._account.wire.replace("withdraw_document", one.id, found.etag, body, "DocumentReference")
            if isinstance(result, Raced | Several):
                return None
            if isinstance(result, Mediated):
                raise self._account.undecided()
            if isinstance(result, NotOffered):
                return Parked(Reason.WITHDRAWAL_BY_HAND, "DocumentReference.update")
            if not isinstance(result, Written):
                return Rejected(Reason.PLATFORM_REJECTED, "DocumentReference") if isinstance(result, TooLarge) else result
        return Updated(last.id) if shown else Unchanged(last.id)

    async def _heads(self, document_id: str, *, is_again: bool) -> list[Head]:
        """From the index; when that may have misled us, each of them read by its id."""
        heads = await self._documents.heads(document_id)
        if not is_again:
            return heads
        return [one for one in [await self._documents.head(head.id) for head in heads] if one is not None]

    async def _replaced(self, patient: str, upload: Upload, earlier: Sequence[Head]) -> list[Head]:
        """What is still shown and should not be any more: earlier versions, and the document that this one replaces."""
        is_another = upload.supersedes and upload.supersedes != upload.document_id
        others = await self._documents.heads(str(upload.supersedes)) if is_another else []
        found = [*earlier, *(one for one in others if one.patient == patient)]
        return [one for one in found if one.status == "current"]

    async def _awaited(self, upload: Upload, head: Head | None) -> Answer:
        """After a 202: the document shows, or the outcome stays unknown; nothing is submitted twice meanwhile."""
        for poll in range(POLLS):
            await self._account.sleep(FIRST_POLL_SECONDS * 2**poll)
            found = newest(await self._documents.heads(upload.document_id))
            if found is not None and found.version == upload.version:
                return Created(found.id) if head is None else Updated(found.id)
        while len(self._submitted) >= MOST_SUBMITTED:
            del self._submitted[next(iter(self._submitted))]
        self._submitted[master_of(upload.document_id, upload.version)] = self._account.clock() + SUBMISSION_SECONDS
        raise self._account.undecided()

    def _check_submitted(self, upload: Upload) -> None:
        if self._submitted.get(master_of(upload.document_id, upload.version), 0.0) > self._account.clock():
            raise self._account.undecided()


def _without(heads: Sequence[Head], one: Head | None) -> list[Head]:
    return [other for other in heads if other is not one]


def _is_about_a_reference(answer: Answer | None) -> bool:
    """Whether a refusal may mean that something which we refer to is not there."""
    return isinstance(answer, Rejected) or (isinstance(answer, Parked) and answer.reason is Reason.CONTACT_MISSING)
