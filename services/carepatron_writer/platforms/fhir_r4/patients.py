"""Patients on a FHIR server: found before they are made, changed only where they are ours, never merged.

`$match` is not asked: few servers have it, its scores differ, and who is linked is one rule for all platforms.
"""

from collections.abc import Collection

from services.carepatron_writer.platforms.fhir_r4.account import ROUNDS, Account
from services.carepatron_writer.platforms.fhir_r4.elements import Json
from services.carepatron_writer.platforms.fhir_r4.people import changed_patient, client_view, detached_patient, new_patient, replaced_by
from services.carepatron_writer.platforms.fhir_r4.validation import fault_in
from services.carepatron_writer.platforms.fhir_r4.wire import Mediated, NotOffered, Raced, Resource, Result, Several, TooLarge, Written
from services.carepatron_writer.platforms.matching import SYSTEM, candidate, choose, fold
from services.carepatron_writer.platforms.port import Answer, Card, Created, Parked, Rejected, Unchanged, Updated
from shared.outcomes import Reason

STATE_ELEMENTS = {"_elements": "active,link,identifier"}
POLLS = 5
FIRST_POLL_SECONDS = 0.5


class Patients:
    """One account's patients. Raises Unavailable, or OutcomeUnknown when a write may have happened."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._wire = account.wire

    async def upsert(self, card: Card, external_id: str | None, *, is_new: bool) -> Answer:
        """By id, else by our identifier, else by name and e-mail (DESIGN 6); changed only where it differs, else made."""
        names = [fold(one) for one in (f"{card.first_name} {card.last_name}", card.email) if one]
        async with self._account.turn(*names, card.patient_key):
            for turn in range(ROUNDS):
                await self._account.pause(turn)
                if external_id is None:
                    found = choose(card, [client_view(card, one) for one in await self._search(card)], is_new=is_new)
                    if isinstance(found, tuple):
                        return Parked(Reason.POSSIBLE_DUPLICATE, candidates=found)
                    external_id = found
                answer = await (self._create(card) if external_id is None else self._change(card, external_id))
                if answer is not None:
                    return answer
                external_id = None  # gone, or changed under us: look again
        raise self._account.changing("patient")

    async def find(self, patient_key: str) -> str | None:
        """Who carries our identifier, or whom that one was replaced by; None when there is nobody, or several."""
        found = await self._marked(patient_key)
        living = [one for one in found if not replaced_by(one)[0]]
        if living or len(found) != 1:
            return str(living[0]["id"]) if len(living) == 1 else None
        resource = await self._follow(str(found[0]["id"]))
        return str(resource.body["id"]) if isinstance(resource, Resource) else None

    async def refusal(self, external_id: str) -> Answer | None:
        """Why a patient takes no documents, None when nothing speaks against it. Servers do not watch over this."""
        found = await self._wire.read("read_patient", external_id, STATE_ELEMENTS)
        if found is None:
            return Parked(Reason.CONTACT_MISSING, "Patient.id")
        if not isinstance(found, Resource):
            return found
        if replaced_by(found.body)[0]:
            return Parked(Reason.CONTACT_MERGED, "Patient.link")
        return Parked(Reason.CONTACT_ARCHIVED, "Patient.active") if found.body.get("active") is False else None

    async def detach(self, external_id: str, patient_key: str) -> Answer:
        """PUT without our identifier and what came from this record."""
        async with self._account.turn(patient_key):
            for turn in range(ROUNDS):
                await self._account.pause(turn)
                found = await self._wire.read("read_patient", external_id)
                if not isinstance(found, Resource):
                    return found or Unchanged()
                wanted = detached_patient(patient_key, found.body)
                if wanted is None:
                    return Unchanged(external_id)
                if not isinstance(result := await self._replace(found, wanted), Raced):
                    return self._answer(result, Updated(external_id))
        raise self._account.changing("patient")

    async def _marked(self, patient_key: str) -> list[Json]:
        return await self._wire.search("find_patients", {"identifier": f"{SYSTEM}|{patient_key}"}, "Patient")

    async def _search(self, card: Card) -> list[Json]:
        """Everybody who may be this patient. Names and e-mails travel in bodies, never in a URL."""
        found = {one["id"]: one for one in await self._marked(card.patient_key)}
        features = await self._account.features()
        for params in searches_for(card, features.patient_searches):
            found |= {one["id"]: one for one in await self._wire.search_quietly("search_patients", params, "Patient")}
        return list(found.values())

    async def _follow(self, external_id: str) -> Resource | Answer | None:
        """The patient, or the one who replaced it; None when it is gone."""
        followed: set[str] = set()
        while True:
            found = await self._wire.read("read_patient", external_id)
            if not isinstance(found, Resource):
                return found if not followed or found is not None else Parked(Reason.CONTACT_MERGED, "Patient.link")
            is_replaced, other = replaced_by(found.body)
            if not is_replaced:
                return found
            followed.add(external_id)
            if other is None or other in followed or len(followed) > ROUNDS:
                return Parked(Reason.CONTACT_MERGED, "Patient.link")
            external_id = other

    async def _change(self, card: Card, external_id: str) -> Answer | None:
        """Bring a known patient up to date; None when it is gone or was changed by somebody else meanwhile."""
        found = await self._follow(external_id)
        if not isinstance(found, Resource):
            return found
        if found.body.get("active") is False:
            return Parked(Reason.CONTACT_ARCHIVED, "Patient.active")
        known_id = str(found.body["id"])
        wanted = changed_patient(card, found.body)
        if wanted is None:
            return Unchanged(known_id)
        if (where := fault_in(wanted)) is not None:
            return Rejected(Reason.PLATFORM_REJECTED, where)
        result = await self._replace(found, wanted)
        if isinstance(result, Mediated):
            raise self._account.undecided()
        return None if isinstance(result, Raced) else self._answer(result, Updated(known_id))

    async def _replace(self, found: Resource, wanted: Json) -> Result:
        return await self._wire.replace("replace_patient", str(found.body["id"]), found.etag, wanted, "Patient")

    async def _create(self, card: Card) -> Answer | None:
        """Made once, whoever else is making it: conditional, at an id of our own, or looked for again afterwards."""
        body = new_patient(card)
        if (where := fault_in(body)) is not None:
            return Rejected(Reason.PLATFORM_REJECTED, where)
        abilities = (await self._account.features()).patients
        if abilities.conditional_create:
            criteria = f"identifier={SYSTEM}|{card.patient_key}"
            result = await self._wire.create("create_patient", body, "Patient", if_none_exist=criteria)
        elif abilities.update_create:
            result = await self._wire.replace("replace_patient", card.patient_key, None, body, "Patient")
        else:
            result = await self._wire.create("create_patient", body, "Patient")
        if isinstance(result, Several):
            return await self._several(card)
        if isinstance(result, Mediated):
            return await self._awaited(card)
        if isinstance(result, Raced) or (isinstance(result, Written) and not result.is_new):
            return None  # somebody has made it: look again
        if isinstance(result, Written) and not (abilities.conditional_create or abilities.update_create):
            return await self._several(card) or Created(result.id)
        return self._answer(result, Created(result.id) if isinstance(result, Written) else None)

    async def _several(self, card: Card) -> Answer | None:
        """A question for a person when several carry our identifier."""
        found = await self._marked(card.patient_key)
        if len(found) < 2:
            return None
        views = [client_view(card, one) for one in found]
        return Parked(Reason.POSSIBLE_DUPLICATE, "Patient.identifier", tuple(candidate(card, one) for one in views))

    async def _awaited(self, card: Card) -> Answer:
        """After a 202: the patient shows, or the outcome stays unknown."""
        for poll in range(POLLS):
            await self._account.sleep(FIRST_POLL_SECONDS * 2**poll)
            found = await self._marked(card.patient_key)
            if len(found) == 1:
                return Created(str(found[0]["id"]))
        raise self._account.undecided()

    def _answer(self, result: Result, success: Answer | None) -> Answer:
        if isinstance(result, Written) and success is not None:
            return success
        if isinstance(result, TooLarge):
            return Rejected(Reason.CONTENT_TOO_LARGE, "Patient")
        if isinstance(result, NotOffered):
            return Rejected(Reason.PLATFORM_REJECTED, "Patient.update")
        if isinstance(result, Written | Raced | Several | Mediated):
            raise self._account.undecided()
        return result


def searches_for(card: Card, known: Collection[str]) -> list[list[tuple[str, str]]]:
    """How to look for somebody by name and by e-mail, with the search parameters that the server knows (US Core: `name` SHALL)."""
    first, last = card.first_name.split()[:1], card.last_name
    words = [one for one in (last, *first) if one]
    by_name = [("name", one) for one in words]
    if "name" not in known and "family" in known:
        by_name = [*([("family", last)] if last else []), *([("given", first[0])] if first else [])]
    mail = next((one for one in ("email", "telecom") if one in known), None)
    return [by_name, *([[(mail, card.email)]] if mail and card.email else [])]
