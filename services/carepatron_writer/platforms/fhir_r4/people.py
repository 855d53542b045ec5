"""Patients as FHIR R4 Patient: how one compares with a card, and what of one we may change. Pure.

Where dietary facts go. They stand on the Patient, in one extension for each record of ours (`urn:healthrecords:record`: the facts one by
one, with their codes), and as words in its narrative. AllergyIntolerance, Condition and NutritionOrder were considered and left: written
into a chart they are clinical assertions (an allergy feeds the alerts of whoever prescribes; a NutritionOrder is an order), they would be
ours to verify, to reconcile with the clinic's own and to end one by one, and each would be a resource that can be lost between two writes.
A card is a snapshot of what one record says: on the Patient it changes as a whole, under one If-Match, it is taken off as a whole
(detach), and nobody takes it for the clinic's own finding. The documents themselves carry the facts to whoever needs the source.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from services.carepatron_writer.platforms.fhir_r4.elements import (
    Json,
    coding,
    extension,
    extensions_of,
    is_ours_to_tell,
    narrative,
    pruned,
    referred,
    values_of,
    with_extension,
)
from services.carepatron_writer.platforms.matching import SYSTEM, fold
from services.carepatron_writer.platforms.port import Card

CREATED = "urn:healthrecords:created"  # extension: we made this Patient
RECORD = "urn:healthrecords:record"  # extension: what one record says; `key`, then the facts
LISTS = (
    ("medicalHistory", "medical_history"),
    ("dietaryPreference", "dietary_preferences"),
    ("nutritionChange", "nutrition_changes"),
)
_READ_ONLY = ("versionId", "lastUpdated", "source")


def identifier_of(patient_key: str) -> Json:
    """Our identifier on a Patient."""
    return {"system": SYSTEM, "value": patient_key}


def keys_of(patient: Mapping[str, Any]) -> list[str]:
    """The records of ours that a Patient carries."""
    return [str(one.get("value")) for one in _rows(patient, "identifier") if one.get("system") == SYSTEM]


def replaced_by(patient: Mapping[str, Any]) -> tuple[bool, str | None]:
    """Whether the Patient was put aside for another one (Patient.link), and which one where the link says it."""
    links = [one for one in _rows(patient, "link") if one.get("type") == "replaced-by"]
    found = [referred(one.get("other"), "Patient") for one in links]
    return bool(links), next((one for one in found if one), None)


def client_view(card: Card, patient: Mapping[str, Any]) -> Json:
    """A Patient in the words in which clients are compared; of several names and e-mails the one that agrees, else the first."""
    names = [_name_parts(one) for one in _rows(patient, "name")] or [("", "")]
    wanted = fold(f"{card.first_name} {card.last_name}")
    first, last = next((one for one in names if fold(" ".join(one)) == wanted), names[0])
    emails = _telecom(patient, "email")
    born = str(patient.get("birthDate") or "")
    is_vague = len(born) < 10 and (card.birth_date or "").startswith(born)  # R4 birthDate may be a year: it neither agrees nor differs
    is_merged, _ = replaced_by(patient)
    return {
        "id": patient.get("id"),
        "firstName": first,
        "lastName": last,
        "email": next((one for one in emails if fold(one) == fold(card.email or "")), emails[0] if emails else None),
        "phoneNumber": next(iter(_telecom(patient, "phone")), None),
        "dateOfBirth": None if is_vague else born,
        "externalReferences": [identifier_of(one) for one in keys_of(patient)],
        "status": "merged" if is_merged else "archived" if patient.get("active") is False else "active",
    }


def new_patient(card: Card) -> Json:
    """A Patient for somebody whom the server does not know."""
    body: Json = {
        "resourceType": "Patient",
        "identifier": [identifier_of(card.patient_key)],
        "active": True,
        "name": [_name(card)],
        "telecom": [_contact("phone", card.phone), _contact("email", card.email)],
        "birthDate": card.birth_date,
        "extension": [extension(CREATED, valueBoolean=True), *_record(card)],
    }
    kept: Json = pruned({**body, "text": _told(body)})
    return kept


def changed_patient(card: Card, stored: Mapping[str, Any]) -> Json | None:
    """The Patient as it should be, None when it is so already. What the clinic or another record wrote stays.

    On a Patient that we made, the facts of the record with the lowest key replace name, telephone, e-mail and birth date; those of other
    records, and all facts on a Patient of the clinic's own, only fill blanks. So the end is the same whichever record came first.
    """
    body = dict(stored)
    keys = keys_of(stored)
    if card.patient_key not in keys:
        body["identifier"] = [*_rows(stored, "identifier"), identifier_of(card.patient_key)]
    is_made_by_us = any(one.get("valueBoolean") is True for one in extensions_of(stored, CREATED))
    is_ours = is_made_by_us and card.patient_key <= min(keys, default=card.patient_key)
    names, view = _rows(stored, "name"), client_view(card, stored)
    if not names:
        body["name"] = [_name(card)]
    elif is_ours and fold(f"{view['firstName']} {view['lastName']}") != fold(f"{card.first_name} {card.last_name}"):
        body["name"] = [{**{k: v for k, v in names[0].items() if k in ("use", "period")}, **_name(card)}, *names[1:]]
    body["telecom"] = _telecom_with(stored, (("phone", card.phone), ("email", card.email)), is_ours=is_ours)
    if card.birth_date and (is_ours or not stored.get("birthDate")):
        body["birthDate"] = card.birth_date
    body["extension"] = _with_record(stored, card.patient_key, _record(card))
    return _resent(body, stored)


def detached_patient(patient_key: str, stored: Mapping[str, Any]) -> Json | None:
    """The Patient without what is marked as one record's, None when there is nothing. Names that we filled in stay: whose are they now?"""
    body = dict(stored)
    body["identifier"] = [one for one in _rows(stored, "identifier") if one != identifier_of(patient_key)]
    body["extension"] = _with_record(stored, patient_key, [])
    return _resent(body, stored)


def _resent(body: Json, stored: Mapping[str, Any]) -> Json | None:
    """The body to send, None when it says what is stored. The narrative follows from the rest, so it decides nothing."""
    wanted: Json = pruned({name: value for name, value in body.items() if name not in ("text", "meta")})
    if wanted == {name: value for name, value in stored.items() if name not in ("text", "meta")}:
        return None
    text = _told(wanted) if is_ours_to_tell(stored) else stored.get("text")
    meta = {name: value for name, value in (stored.get("meta") or {}).items() if name not in _READ_ONLY}
    kept: Json = pruned({**wanted, "text": text, "meta": meta})
    return kept


def _record(card: Card) -> list[Json]:
    facts = [_fact(name, entry) for name, field in LISTS for entry in getattr(card, field)]
    return [{"url": RECORD, "extension": [extension("key", valueString=card.patient_key), *facts]}] if facts else []


def _with_record(stored: Mapping[str, Any], patient_key: str, ours: Sequence[Json]) -> list[Json]:
    """The extensions with one record's facts replaced; records in the order of their keys."""
    others = [one for one in extensions_of(stored, RECORD) if values_of(one).get("key") != patient_key]
    return with_extension(stored, RECORD, sorted([*others, *ours], key=lambda one: str(values_of(one).get("key"))))


def _fact(name: str, entry: Mapping[str, Any]) -> Json:
    """One fact, each of its words under its own name."""
    said: list[Json] = []
    for field, value in entry.items():
        if isinstance(value, Mapping):
            found = coding(value.get("system"), value.get("code"), value.get("display"))
            said += [extension(field, valueCoding=found)] if found else []
        elif isinstance(value, bool):
            said.append(extension(field, valueBoolean=value))
        else:
            rows = value if isinstance(value, list | tuple) else [value]
            said += [extension(field, valueString=str(one)) for one in rows if str(one).strip()]
    return {"url": name, "extension": said}


def _told(patient: Mapping[str, Any]) -> Json | None:
    """The facts in words."""
    lines: list[str] = []
    for record in extensions_of(patient, RECORD):
        for fact in record.get("extension") or ():
            said = values_of(fact)
            text = said.get("text") or (said.get("code") or {}).get("display")
            if text:
                lines.append(": ".join(str(one) for one in (said.get("kind"), text) if one))
    return narrative("From other records", dict.fromkeys(lines))


def _name(card: Card) -> Json:
    name: Json = pruned({"family": card.last_name, "given": card.first_name.split()})
    return name


def _name_parts(name: Mapping[str, Any]) -> tuple[str, str]:
    given = " ".join(str(one) for one in name.get("given") or ())
    family = str(name.get("family") or "")
    return (given, family) if given or family else ("", str(name.get("text") or ""))


def _contact(system: str, value: str | None) -> Json | None:
    return {"system": system, "value": value} if value else None


def _telecom(patient: Mapping[str, Any], system: str) -> list[str]:
    return [str(one["value"]) for one in _rows(patient, "telecom") if one.get("system") == system and one.get("value")]


def _telecom_with(stored: Mapping[str, Any], wanted: Sequence[tuple[str, str | None]], *, is_ours: bool) -> list[Json]:
    """Telephone and e-mail: the first of a kind is replaced on a Patient of ours, a missing one is added, others stay."""
    entries = _rows(stored, "telecom")
    for system, value in wanted:
        places = [place for place, one in enumerate(entries) if one.get("system") == system]
        if not value or value in _telecom(stored, system):
            continue
        if not places:
            entries.append({"system": system, "value": value})
        elif is_ours:
            entries[places[0]] = {**entries[places[0]], "value": value}
    return entries


def _rows(holder: Mapping[str, Any], name: str) -> list[Json]:
    found = holder.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
