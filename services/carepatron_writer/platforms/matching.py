"""Who is who on a platform: how somebody known there compares with a patient. Pure.

People are seen as `Body`: firstName, lastName, email, phoneNumber, dateOfBirth, externalReferences, id, status (merged or not).
"""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from services.carepatron_writer.platforms.port import Candidate, Card
from shared.identity import digest

SYSTEM = "urn:healthrecords:patient-key"
EMAIL_SYSTEM = "urn:healthrecords:email-sha256"  # finds a client by an e-mail that we must not set: the platform would write to it

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
