"""Who is who on the platform, and what of a client we may change. Pure."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from services.carepatron_writer.platforms.port import Card

SYSTEM = "urn:healthrecords:patient-key"
CREATED = "healthrecordsCreated"  # custom field: whether we created the client
RECORD = "recordKey"  # in an entry of a list: the record that it came from
SCALARS = ("firstName", "lastName", "phoneNumber", "dateOfBirth")

Likeness = Literal["same", "maybe", "other"]
Body = Mapping[str, Any]


def choose(card: Card, candidates: Sequence[Body]) -> str | Literal[False] | None:
    """The id of the one client who is this patient; None when there is nobody, False when a person has to decide.

    Our reference settles it. Else name and e-mail must agree, and the birth date where both have one; a client who agrees in part
    may be the same person.
    """
    marked = [one for one in candidates if reference(card.patient_key) in one.get("externalReferences", ())]
    living = [one for one in marked if one.get("status") != "merged"]
    if marked:  # one that was merged away is named too: the platform then says so
        return str((living or marked)[0]["id"]) if len(living) <= 1 else False
    likenesses = [(likeness(card, one), str(one["id"])) for one in candidates if one.get("status") != "merged"]
    same = [key for like, key in likenesses if like == "same"]
    if len(same) == 1:
        return same[0]
    return False if same or any(like == "maybe" for like, _ in likenesses) else None


def likeness(card: Card, other: Body) -> Likeness:
    """How a client compares with a patient."""
    is_named = fold(f"{card.first_name} {card.last_name}") == fold(f"{other.get('firstName')} {other.get('lastName')}")
    born, email = other.get("dateOfBirth"), other.get("email")
    is_mailed = bool(card.email and email) and fold(card.email or "") == fold(email or "")
    is_born_alike = bool(card.birth_date and born) and card.birth_date == born
    is_born_otherwise = bool(card.birth_date and born) and card.birth_date != born
    if is_named and is_mailed and not is_born_otherwise:
        return "same"
    if is_named and (is_mailed or not is_born_otherwise):
        return "maybe"
    return "maybe" if is_mailed and is_born_alike else "other"


def fold(text: str) -> str:
    """Text for comparison: no case, no accents, single spaces."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return " ".join("".join(one for one in plain if not unicodedata.combining(one)).split())


def reference(patient_key: str) -> dict[str, str]:
    """Our reference on a client."""
    return {"system": SYSTEM, "value": patient_key}


def new_contact(card: Card) -> dict[str, Any]:
    """A client for a patient whom the platform does not know."""
    return {
        "isClient": True,
        "firstName": card.first_name,
        "lastName": card.last_name,
        "email": card.email,
        "phoneNumber": card.phone,
        "dateOfBirth": card.birth_date,
        "tags": [],
        "externalReferences": [reference(card.patient_key)],
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
    ours = reference(card.patient_key)
    body["externalReferences"] = references if ours in references else [*references, ours]
    body["customFields"] = dict(stored.get("customFields") or {})
    for name in ("medicalHistory", "dietaryPreferences", "nutritionChanges"):
        body[name] = _joined(stored.get(name) or (), wanted[name], card.patient_key)
    return body, warnings


def _own(card: Card, entries: Sequence[Body]) -> list[dict[str, Any]]:
    return [{**one, RECORD: card.patient_key} for one in entries]


def _joined(stored: Sequence[Body], ours: Sequence[Body], patient_key: str) -> list[dict[str, Any]]:
    """The clinic's entries first, as they stand, then those of each record, records in the order of their keys."""
    clinic = [dict(one) for one in stored if RECORD not in one]
    others = [dict(one) for one in stored if RECORD in one and one[RECORD] != patient_key]
    return clinic + sorted([*others, *map(dict, ours)], key=lambda one: str(one[RECORD]))
