"""Who a message is about: PID, and the pairs of merges."""

from services.normalizer.readers.hl7v2_codes import CODES
from services.normalizer.readers.hl7v2_facts import read_facts
from services.normalizer.readers.hl7v2_people import read_address, read_name, read_other_name
from services.normalizer.readers.hl7v2_times import read_time
from shared.canonical.elements import ContactDetails, Identifier, Telecom
from shared.canonical.reading import PatientReading, ProviderProfile, Warning
from shared.formats.hl7v2 import Message, Segment
from shared.formats.hl7v2_identity import authority, patient_identifiers, read_identifier
from shared.identity import PatientIdentifier, choose_identifier, patient_key

PLACEHOLDERS = frozenset({"LAST NAME", "FIRST", "LASTNAME", "FIRSTNAME", "UNKNOWN"})
EMAIL_USES = frozenset({"NET", "INTERNET"})
PHONE_USES = {"PRN": "home", "ORN": "home", "WPN": "work", "VHN": "vacation", "EMR": "emergency", "PRS": "mobile"}


def read_patient(message: Message, pid: Segment, provider: ProviderProfile, warnings: list[Warning]) -> PatientReading | None:
    """The patient of a PID; None when it says nothing. Without an identifier the key is empty: the caller holds it under a document."""
    chosen = choose_identifier(patient_identifiers(pid), provider.authorities)
    reading = PatientReading(patient_key(provider.provider_id, chosen) if chosen else "")
    reading.identifiers = _identifiers(pid)
    _read_names(pid, reading)
    if chosen is None and reading.name is None:
        return None
    reading.birth_date = _birth_date(pid, warnings)
    if sex := pid.text(8):
        reading.gender = provider.genders.get(sex) or CODES["genders"].get(sex.upper())  # type: ignore[assignment]  # one of the four
        if reading.gender is None:
            warnings.append(Warning("gender_not_understood", "PID-8"))
    _read_contacts(pid, reading)
    for number in range(3, min(pid.count, 40) + 1):
        if pid.is_deleted(number):
            warnings.append(Warning("deleted_at_source", f"PID-{number}"))
    # skip NK1: no next of kin in the model yet
    reading.medical_history, reading.dietary_preferences = read_facts(message, warnings)
    return reading


def _identifiers(pid: Segment) -> list[Identifier]:
    """PID-3; what PID-2 and PID-4 say beside it; PID-19 social security number, PID-20 driver's licence."""
    found = [Identifier(one.system, one.value, one.type) for one in patient_identifiers(pid)]
    known = {one.value for one in found}
    for number in (2, 4):
        for part in pid.repetitions(number):
            one = read_identifier(part)
            if one is not None and one.value not in known:
                known.add(one.value)
                found.append(Identifier(one.system, one.value, one.type))
    if (social := pid.text(19)) and all((one.value, one.type) != (social, "SS") for one in found):
        found.append(Identifier(None, social, "SS"))
    if (licence := pid.text(20)) and licence not in known:
        found.append(Identifier(pid.text(20, 2), licence, "DL"))
    return found


def _read_names(pid: Segment, reading: PatientReading) -> None:
    """The first nameable repetition of PID-5 that is no alias is the name; maiden, nick and other names stand beside it."""
    for part in pid.repetitions(5):
        name = read_name(part)
        if name is None or (name.family or "").upper() in PLACEHOLDERS:
            continue
        use = (part.text(7) or "").upper()
        if reading.name is None and use not in ("M", "B", "N", "A", "S"):
            reading.name = name
        elif (other := read_other_name(part)) is not None:
            reading.other_names.append(other)
    for part in pid.repetitions(9):
        if (other := read_other_name(part)) is not None:
            other.use = other.use or "alias"
            reading.other_names.append(other)
    if reading.name is None and reading.other_names:  # nothing but an alias: better than nobody
        for part in pid.repetitions(5):
            if (name := read_name(part)) is not None:
                reading.name = name
                reading.other_names.pop(0)
                break


def _birth_date(pid: Segment, warnings: list[Warning]) -> str | None:
    """PID-7, at most to the day; `0000` and words are no date."""
    written = pid.text(7)
    if written is None or not written.strip("0"):
        return None
    read = read_time(written)
    if read is None:
        warnings.append(Warning("date_not_understood", "PID-7"))
        return None
    return read[:10]


def _read_contacts(pid: Segment, reading: PatientReading) -> None:
    """Addresses from PID-11; telephones and e-mail from PID-13, PID-14 and PID-40."""
    contacts = ContactDetails()
    contacts.addresses = [one for one in (read_address(part) for part in pid.repetitions(11)) if one]
    for number in (13, 14, 40):
        for part in pid.repetitions(number):
            mail = part.text(4) or (part.text(1) if "@" in (part.text(1) or "") else None)
            if mail and "@" in mail:
                contacts.emails.append(mail)
                continue
            value = part.text(1) or part.text(12) or "".join(one for one in (part.text(5), part.text(6), part.text(7)) if one)
            if value:
                use = PHONE_USES.get((part.text(2) or "").upper()) or ("work" if number == 14 else None)
                use = "mobile" if (part.text(3) or "").upper() == "CP" else "fax" if (part.text(3) or "").upper() == "FX" else use
                contacts.phones.append(Telecom(value, use))
    contacts.emails = list(dict.fromkeys(contacts.emails))
    reading.contact_details = contacts
    reading.email = contacts.emails[0] if contacts.emails else None


def read_merges(message: Message, provider: ProviderProfile) -> list[tuple[str, str]]:
    """Pairs (surviving key, key given up) of merge and move events: each MRG-1 belongs to the PID before it."""
    surviving: PatientIdentifier | None = None
    pairs = []
    for segment in message.segments:
        if segment.name == "PID":
            surviving = choose_identifier(patient_identifiers(segment), provider.authorities)
        for part in segment.repetitions(1) if segment.name == "MRG" else []:
            value = part.text(1)
            if surviving and value:
                given_up = PatientIdentifier(authority(part, 4) or surviving.system, value, part.text(5))
                pairs.append((patient_key(provider.provider_id, surviving), patient_key(provider.provider_id, given_up)))
    return pairs
