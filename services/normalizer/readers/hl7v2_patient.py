"""Who a message is about (PID, PD1) and what it states about their history and diet (AL1, IAM, DG1, PRB, PR1, RXA, RXE, RXO, ODS)."""

from collections.abc import Iterator

from services.normalizer.mappings.tables import load_table
from services.normalizer.readers.hl7v2_values import CODES, read_address, read_code, read_name, read_other_name, read_time
from shared.canonical.elements import Coding, ContactDetails, DietaryPreference, HistoryEntry, Identifier, Telecom
from shared.canonical.reading import PatientReading, ProviderProfile, Warning
from shared.formats.hl7v2 import Message, Segment, authority, patient_identifiers
from shared.identity import PatientIdentifier, choose_identifier, patient_key

PLACEHOLDERS = frozenset({"LAST NAME", "FIRST", "LASTNAME", "FIRSTNAME", "UNKNOWN"})
FOODS = frozenset({*load_table("ccda_allergies")["foods"], "429625007"})  # SNOMED CT: known to be food whatever the type says
NO_KNOWN = frozenset({"716186003", "429625007", "409137002"})  # SNOMED CT: no known allergy, food allergy, drug allergy
EMAIL_USES = frozenset({"NET", "INTERNET"})
PHONE_USES = {"PRN": "home", "ORN": "home", "WPN": "work", "VHN": "vacation", "EMR": "emergency", "PRS": "mobile"}


def read_patient(message: Message, pid: Segment, provider: ProviderProfile, warnings: list[Warning]) -> PatientReading | None:
    """The patient of a PID; None when it names nobody."""
    chosen = choose_identifier(patient_identifiers(pid), provider.authorities)
    if chosen is None:
        return None
    reading = PatientReading(patient_key(provider.provider_id, chosen))
    reading.identifiers = [Identifier(one.system, one.value, one.type) for one in patient_identifiers(pid)]
    if social := pid.text(19):
        reading.identifiers.append(Identifier(None, social, "SS"))
    _read_names(pid, reading)
    reading.birth_date = _birth_date(pid, warnings)
    if sex := pid.text(8):
        reading.gender = CODES["genders"].get(sex.upper())
        if reading.gender is None:
            warnings.append(Warning("gender_not_understood", "PID-8"))
    _read_contacts(pid, reading)
    for number in range(3, min(pid.count, 40) + 1):
        if pid.is_deleted(number):
            warnings.append(Warning("deleted_at_source", f"PID-{number}"))
    # skip NK1: no next of kin in the model yet
    reading.medical_history, reading.dietary_preferences = read_facts(message)
    return reading


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


def read_facts(message: Message) -> tuple[list[HistoryEntry], list[DietaryPreference]]:
    """History and diet as coded statements; free text asserts nothing."""
    history: list[HistoryEntry] = []
    diet: list[DietaryPreference] = []
    for segment in (*message.all("AL1"), *message.all("IAM")):
        for entry, preference in _allergies(segment):
            history.append(entry)
            if preference:
                diet.append(preference)
    for segment in message.all("DG1"):
        _condition(history, segment, code=3, text=4, onset=5)
    for segment in message.all("PRB"):
        _condition(history, segment, code=3, text=3, onset=16)
    for segment in message.all("PR1"):
        code = read_code(segment.field(3))
        if code or segment.text(4):
            history.append(HistoryEntry("procedure", code, segment.text(4), "completed", read_time(segment.text(5))))
    for segment in message.all("RXA"):
        if code := read_code(segment.field(5)):
            refused = (segment.text(20) or "").upper() in ("RE", "NA")
            history.append(
                HistoryEntry("immunization", code, None, "not-done" if refused else "completed", read_time(segment.text(3)), refused)
            )
    for name, number in (("RXE", 2), ("RXO", 1)):
        for segment in message.all(name):
            if code := read_code(segment.field(number)):
                history.append(HistoryEntry("medication", code, None, "active"))
    for segment in message.all("ODS"):
        diet.extend(_diet(segment))
    return history, diet


def _allergies(segment: Segment) -> Iterator[tuple[HistoryEntry, DietaryPreference | None]]:
    """AL1 and IAM: type 2, code 3, severity 4, reactions 5; IAM adds kind 9 and status 17."""
    written = (segment.text(2) or "").upper()
    category = CODES["allergen_category"].get(written)
    criticality = CODES["severity"].get((segment.text(4) or "").upper())
    reactions = [one for one in (part.text(2) or part.text(1) for part in segment.repetitions(5)) if one]
    status, kind = "active", "allergy"
    onset = read_time(segment.text(6))
    if segment.name == "IAM":
        status = CODES["allergy_status"].get((segment.text(17) or "").upper(), "active")
        if (segment.text(6) or "").upper() == "D" and status == "active":  # table 0323: taken off the list
            status = "inactive"
        kind = "intolerance" if (segment.text(9) or "").upper() == "IN" else "allergy"
        onset = read_time(segment.text(11))
    for part in segment.repetitions(3):
        code = read_code(part)
        if code is None:
            continue
        negated = code.code in NO_KNOWN
        text = code.display if code.code is None else None
        # a type that says nothing: the few codes that are known to be food
        concerns = category or ("food" if any(one.code in FOODS for one in (code, *code.translations)) else None)
        yield (
            HistoryEntry("allergy", code, text, status, onset, negated, concerns, criticality),
            DietaryPreference(kind, code, text, criticality, reactions, status, negated)  # type: ignore[arg-type]  # one of the two above
            if concerns == "food"
            else None,
        )


def _condition(history: list[HistoryEntry], segment: Segment, *, code: int, text: int, onset: int) -> None:
    found = read_code(segment.field(code))
    said = segment.text(text) if text != code else None
    if found or said:
        history.append(HistoryEntry("condition", found, said, "active", read_time(segment.text(onset))))


def _diet(segment: Segment) -> Iterator[DietaryPreference]:
    """ODS: D diet and S supplement are orders, P a preference (table 0159); code 3, text 4."""
    kind = "preference" if (segment.text(1) or "").upper() == "P" else "diet"
    codes: list[Coding | None] = [read_code(part) for part in segment.repetitions(3)]
    for code in codes or [None]:
        text = segment.text(4)
        if code or text:
            yield DietaryPreference(kind, code, text, status="active")  # type: ignore[arg-type]  # one of the two above


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
