"""What of a client we may set and change. Pure."""

from collections.abc import Sequence
from typing import Any

from services.carepatron_writer.platforms.matching import EMAIL_SYSTEM, SYSTEM, Body, email_reference, fold, reference
from services.carepatron_writer.platforms.port import Card

CREATED = "healthrecordsCreated"  # custom field: whether we created the client
RECORD = "recordKey"  # in an entry of a list: the record that it came from
LISTS = ("medicalHistory", "dietaryPreferences", "nutritionChanges")
CONTACT_FIELDS = ("isClient", "firstName", "lastName", "email", "phoneNumber", "dateOfBirth", "tags", "customFields")
SCALARS = ("firstName", "lastName", "phoneNumber", "dateOfBirth")


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
