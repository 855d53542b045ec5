"""Who is who on the platform, and what of a client we may change. Pure."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from services.carepatron_writer.platforms.port import Candidate, Card
from shared.identity import digest

SYSTEM = "urn:healthrecords:patient-key"
EMAIL_SYSTEM = "urn:healthrecords:email-sha256"  # finds a client by an e-mail that we must not set: the platform would write to it
CREATED = "healthrecordsCreated"  # custom field: whether we created the client
RECORD = "recordKey"  # in an entry of a list: the record that it came from
LISTS = ("medicalHistory", "dietaryPreferences", "nutritionChanges")
CONTACT_FIELDS = ("isClient", "firstName", "lastName", "email", "phoneNumber", "dateOfBirth", "tags", "customFields")
SCALARS = ("firstName", "lastName", "phoneNumber", "dateOfBirth")

Likeness = Literal["same", "maybe", "other"]
Body = Mapping[str, Any]


def choose(card: Card, clients: Sequence[Body], *, is_new: bool = False) -> str | tuple[Candidate, ...] | None:
    """The id of the one client who is this patient; None when there is nobody, candidates when a person has to decide.

    Our reference settles it. Else name and e-mail must agree, and the birth date where both have one; a client who agrees in part
    may be the same person. `is_new`: a person has said that it is none of them.
    """
    marked = [one for one in clients if reference(card.patient_key) in one.get("externalReferences", ())]
    living = [one for one in marked if one.get("status") != "merged"]
    if marked:  # one that was merged away is named too: the platform then says so
        return str((living or marked)[0]["id"]) if len(living) <= 1 else tuple(candidate(card, one) for one in living)
    if is_new:
        return None
    alike = [(likeness(card, one), one) for one in clients if one.get("status") != "merged"]
    same = [one for like, one in alike if like == "same"]
    if len(same) == 1:
        return str(same[0]["id"])
    return tuple(candidate(card, one) for like, one in alike if like != "other") or None


def likeness(card: Card, other: Body) -> Likeness:
    """How a client compares with a patient."""
    found = compare(card, other)
    is_named, is_mailed = found["name"] is True, found["email"] is True
    if is_named and is_mailed and found["birth_date"] is not False:
        return "same"
    if is_named and (is_mailed or found["birth_date"] is not False):
        return "maybe"
    return "maybe" if is_mailed and found["birth_date"] is True else "other"


def compare(card: Card, other: Body) -> dict[str, bool | None]:
    """Field by field: the same, another, or None where one of the two does not say."""
    born, email, phone = other.get("dateOfBirth"), other.get("email"), other.get("phoneNumber")
    return {
        "name": fold(f"{card.first_name} {card.last_name}") == fold(f"{other.get('firstName')} {other.get('lastName')}"),
        "birth_date": card.birth_date == born if card.birth_date and born else None,
        "email": _is_mailed_alike(card.email, email, other) if card.email else None,
        "phone": _digits(card.phone) == _digits(phone) if card.phone and phone else None,
    }


def candidate(card: Card, other: Body) -> Candidate:
    """What a person sees of somebody who may be the patient: which fields agree and which differ."""
    found = compare(card, other)
    agrees = tuple(name for name, like in found.items() if like is True)
    return Candidate(str(other["id"]), agrees, tuple(name for name, like in found.items() if like is False))


def fold(text: str) -> str:
    """Text for comparison: no case, no accents, single spaces."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return " ".join("".join(one for one in plain if not unicodedata.combining(one)).split())


def _is_mailed_alike(ours: str, theirs: str | None, other: Body) -> bool | None:
    marks = [one["value"] for one in other.get("externalReferences") or () if one.get("system") == EMAIL_SYSTEM]
    if not theirs and not marks:
        return None
    return fold(ours) == fold(theirs or "") or email_reference(ours)["value"] in marks


def _digits(text: str) -> str:
    """A telephone number for comparison: the last nine digits, where country codes do not disturb."""
    return "".join(one for one in text if one.isdigit())[-9:]


def reference(patient_key: str) -> dict[str, str]:
    """Our reference on a client."""
    return {"system": SYSTEM, "value": patient_key}


def email_reference(email: str) -> dict[str, str]:
    """A mark on a client by which the same e-mail is known again, without the e-mail."""
    return {"system": EMAIL_SYSTEM, "value": digest(fold(email).encode())}


def _references(card: Card) -> list[dict[str, str]]:
    return [reference(card.patient_key), *([email_reference(card.email)] if card.email else [])]


def new_contact(card: Card, *, may_email: bool = True) -> dict[str, Any]:
    """A client for a patient whom the platform does not know. Without the e-mail where the platform would write to it."""
    return {
        "isClient": True,
        "firstName": card.first_name,
        "lastName": card.last_name,
        "email": card.email if may_email else None,
        "phoneNumber": card.phone,
        "dateOfBirth": card.birth_date,
        "tags": [],
        "externalReferences": _references(card),
        "medicalHistory": _own(card, card.medical_history),
        "dietaryPreferences": _own(card, card.dietary_preferences),
        "nutritionChanges": _own(card, card.nutrition_changes),
        "customFields": {CREATED: True},
    }


def changed_contact(card: Card, stored: Body, *, may_email: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The client as it should be, and warnings. What the clinic or another record wrote stays.

    On a client whom we created, the facts of the record with the lowest key replace what stands; those of other records, and all
    facts on a client of the clinic's own, only fill blanks. So the end is the same whichever record came first. Absent is not deleted.
    An e-mail is set when a client is created and not changed later: the platform would write to the patient.
    """
    wanted = new_contact(card)
    body = {name: stored.get(name, wanted[name]) for name in wanted}
    keys = [one["value"] for one in stored.get("externalReferences") or () if one.get("system") == SYSTEM]
    is_ours = bool((stored.get("customFields") or {}).get(CREATED)) and card.patient_key <= min(keys, default=card.patient_key)
    for name in SCALARS:
        if wanted[name] and (is_ours or not body[name]):
            body[name] = wanted[name]
    warnings: tuple[str, ...] = ()
    if card.email and fold(card.email) != fold(str(stored.get("email") or "")):
        if may_email:
            body["email"] = card.email
        else:
            body["email"] = stored.get("email")
            warnings = ("email_not_changed",)
    references = list(stored.get("externalReferences") or ())
    body["externalReferences"] = references + [one for one in _references(card) if one not in references]
    body["customFields"] = dict(stored.get("customFields") or {})
    for name in LISTS:
        body[name] = _joined(stored.get(name) or (), wanted[name], card.patient_key)
    return body, warnings


def detached_contact(patient_key: str, stored: Body) -> dict[str, Any]:
    """The client without what is marked as one record's. Names and numbers that we filled in stay: nobody knows any more whose they are."""
    body = {name: stored.get(name) for name in CONTACT_FIELDS}
    kept = [one for one in stored.get("externalReferences") or () if one != reference(patient_key)]
    is_still_ours = any(one.get("system") == SYSTEM for one in kept)
    body["externalReferences"] = [one for one in kept if is_still_ours or one.get("system") != EMAIL_SYSTEM]
    for name in LISTS:
        body[name] = [one for one in stored.get(name) or () if one.get(RECORD) != patient_key]
    return body


def _own(card: Card, entries: Sequence[Body]) -> list[dict[str, Any]]:
    return [{**one, RECORD: card.patient_key} for one in entries]


def _joined(stored: Sequence[Body], ours: Sequence[Body], patient_key: str) -> list[dict[str, Any]]:
    """The clinic's entries first, as they stand, then those of each record, records in the order of their keys."""
    clinic = [dict(one) for one in stored if RECORD not in one]
    others = [dict(one) for one in stored if RECORD in one and one[RECORD] != patient_key]
    return clinic + sorted([*others, *map(dict, ours)], key=lambda one: str(one[RECORD]))
