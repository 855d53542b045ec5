"""The CDA header: whom a document is about, who wrote it, who keeps it."""

from itertools import islice

from services.normalizer.mappings.tables import load_table
from services.normalizer.readers.ccda_context import Context
from services.normalizer.readers.ccda_narrative import render_inline
from shared.canonical.elements import Address, ContactDetails, HumanName, Identifier, OtherName, Source, Telecom
from shared.canonical.reading import PatientReading, ProviderProfile
from shared.formats.cda import Identity, patient_roles
from shared.formats.cda_times import read_time
from shared.formats.cda_tree import CDA, Element, attribute, child, children, descend, local_name
from shared.identity import normalize_system

_STATUSES = load_table("ccda_statuses")
_GENDERS = {"f": "female", "female": "female", "m": "male", "male": "male", "un": "other", "o": "other", "other": "other"}
_UNKNOWN_GENDERS = ("UNK", "ASKU", "NASK", "NAV")
_MAIDEN, _CALLED = "BR", "CL"  # EntityNamePartQualifier: birth, call me
_MAX_REPEATS = 100  # of names, addresses, telecoms: more is no person
_STREET = ("streetAddressLine", "deliveryAddressLine", "additionalLocator", "postBox")


def read_patient(cda: CDA, identity: Identity, context: Context) -> PatientReading | None:
    """The demographics of the record target; None when the header names nobody."""
    roles = patient_roles(cda)
    if not roles or identity.patient_key is None:
        return None
    role = roles[0]
    context.where = "recordTarget/patientRole"
    patient = child(role, "patient")
    contact = _read_contact(role)
    reading = PatientReading(
        patient_key=identity.patient_key,
        identifiers=[Identifier(normalize_system(one.system) or None, one.value, one.type) for one in identity.patient_identifiers],
        email=contact.emails[0] if contact.emails else None,
        contact_details=contact,
    )
    if patient is not None:
        reading.name, reading.other_names = _read_names(patient, context)
        reading.birth_date = _read_birth_date(patient, context)
        _read_gender(patient, reading)
    # skip guardian, race, ethnicity, marital status, religion, language, provider organization: not in the model
    return reading


def _read_gender(patient: Element, reading: PatientReading) -> None:
    code = child(patient, "administrativeGenderCode")
    if code is None:
        return
    for written in (attribute(code, "code"), attribute(code, "displayName")):
        match _GENDERS.get((written or "").lower()):
            case "female":
                reading.gender = "female"
            case "male":
                reading.gender = "male"
            case "other":
                reading.gender = "other"
            case _:
                continue
        return
    if attribute(code, "nullFlavor") in _UNKNOWN_GENDERS:
        reading.gender = "unknown"


def _read_birth_date(patient: Element, context: Context) -> str | None:
    element = child(patient, "birthTime")
    written = attribute(element, "value") or attribute(child(element, "low") if element is not None else None, "value")
    if written is None:
        return None
    time = read_time(written, context.time_zone)
    if time is None:
        context.warn("date_not_understood")
        return None
    return time.text.partition("T")[0]


def _parts(name: Element, kind: str, context: Context) -> list[tuple[str, str]]:
    """The parts of one kind with their qualifier; parts that are null, or say so in words, are left out."""
    found = []
    for one in children(name, kind):
        text = render_inline(one)
        if text is None or one.get("nullFlavor"):
            continue
        if text.lower() == "null":
            context.warn("name_placeholder")
            continue
        found.append((text, attribute(one, "qualifier") or ""))
    return found


def _read_names(patient: Element, context: Context) -> tuple[HumanName | None, list[OtherName]]:
    """The legal name, else the one without a use, else the first; the others beside it."""
    names = [one for one in islice(children(patient, "name"), _MAX_REPEATS) if not one.get("nullFlavor") or len(one)]
    ranked = sorted(names, key=lambda one: _rank(attribute(one, "use")))
    main: HumanName | None = None
    others: list[OtherName] = []
    for one in ranked:
        name, further = _read_name(one, context)
        if name is None:
            continue
        if main is None:
            main = name
        elif name.family or name.given or name.text:
            use = _STATUSES["name_uses"].get(attribute(one, "use") or "")
            others.append(OtherName(name.family or (name.text if not name.given else None), name.given, use))
        others += [other for other in further if other not in others]
    return main, others


def _rank(use: str | None) -> int:
    uses = (use or "").split()
    return 0 if "L" in uses else 1 if not uses else 3 if "P" in uses else 2


def _read_name(element: Element, context: Context) -> tuple[HumanName | None, list[OtherName]]:
    families, given = _parts(element, "family", context), _parts(element, "given", context)
    others: list[OtherName] = []
    born = [text for text, qualifier in families if qualifier == _MAIDEN]
    if born and len(born) < len(families):
        others.append(OtherName(" ".join(born), [], "maiden"))
        families = [one for one in families if one[1] != _MAIDEN]
    called = [text for text, qualifier in given if qualifier == _CALLED]
    if called and len(called) < len(given):
        others.append(OtherName(None, called, "nickname"))
        given = [one for one in given if one[1] != _CALLED]
    name = HumanName(
        family=" ".join(text for text, _ in families) or None,
        given=[text for text, _ in given],
        prefix=[text for text, _ in _parts(element, "prefix", context)],
        suffix=[text for text, _ in _parts(element, "suffix", context)],
    )
    if not name.family and not name.given:
        name.text = render_inline(element)
    return (name if name.family or name.given or name.text else None), others


def _use(element: Element) -> str | None:
    uses = (attribute(element, "use") or "").split()
    return next((word for one in uses if (word := _STATUSES["contact_uses"].get(one))), None)


def _read_contact(role: Element) -> ContactDetails:
    contact = ContactDetails()
    for one in islice(children(role, "telecom"), _MAX_REPEATS):
        _read_telecom(one, contact)
    for one in islice(children(role, "addr"), _MAX_REPEATS):
        address = _read_address(one)
        if address is not None and address not in contact.addresses:
            contact.addresses.append(address)
    return contact


def _read_telecom(element: Element, contact: ContactDetails) -> None:
    written = attribute(element, "value")
    if written is None:
        return
    scheme, colon, rest = written.partition(":")
    scheme = scheme.lower() if colon else ""
    value = (rest if scheme in ("tel", "mailto", "fax", "sms") else written).strip().lstrip("/").strip()
    if scheme == "mailto" or (scheme not in ("tel", "fax", "sms", "http", "https") and "@" in value):
        if value and value not in contact.emails:
            contact.emails.append(value)
    elif value and scheme not in ("http", "https"):  # skip web pages: no place in the model
        phone = Telecom(value, "fax" if scheme == "fax" else _use(element))
        if phone not in contact.phones:
            contact.phones.append(phone)


def _read_address(element: Element) -> Address | None:
    address = Address(use=_use(element))
    street, number = None, None
    for part in element:
        text = render_inline(part)
        if text is None or part.get("nullFlavor"):
            continue
        match local_name(part):
            case "city":
                address.city = text
            case "state":
                address.state = text
            case "postalCode":
                address.postal_code = text
            case "country":
                address.country = text
            case "streetName":
                street = text
            case "houseNumber":
                number = text
            case kind if kind in _STREET:
                address.lines.append(text)
    if street or number:
        address.lines.insert(0, " ".join(one for one in (street, number) if one))
    if len(element) == 0 and (text := render_inline(element)):
        address.lines.append(text)
    has_any = address.lines or address.city or address.state or address.postal_code or address.country
    return address if has_any else None


def person_name(element: Element | None) -> str | None:
    """A name on one line, as one would say it."""
    name = child(element, "name") if element is not None else None
    if name is None:
        return None
    if len(name) == 0:
        return render_inline(name)
    parts = [text for kind in ("prefix", "given", "family", "suffix") for one in children(name, kind) if (text := render_inline(one))]
    return " ".join(parts) or render_inline(name)


def read_authors(cda: CDA) -> list[str]:
    """The persons who wrote it; a system or an organization only where no person is named."""
    persons: list[str] = []
    others: list[str] = []
    for one in children(cda.root, "author"):
        assigned = child(one, "assignedAuthor")
        if assigned is None:
            continue
        person = person_name(child(assigned, "assignedPerson"))
        if person:
            persons.append(person)
        elif other := _system_name(assigned) or person_name(child(assigned, "representedOrganization")):
            others.append(other)
    return list(dict.fromkeys(persons or others))


def _system_name(assigned: Element) -> str | None:
    device = child(assigned, "assignedAuthoringDevice")
    if device is None:
        return None
    named = (child(device, one) for one in ("softwareName", "manufacturerModelName"))
    return next(
        (text for one in named if one is not None and (text := render_inline(one) or attribute(one, "displayName"))),
        None,
    )


def read_source(cda: CDA, provider: ProviderProfile) -> Source:
    """The custodian, who keeps the original; the provider's configured name where none is given."""
    keeper = descend(cda.root, "custodian", "assignedCustodian", "representedCustodianOrganization")
    systems = (_system_name(one) for each in children(cda.root, "author") for one in children(each, "assignedAuthor"))
    return Source("provider", person_name(keeper) or provider.organization, next((one for one in systems if one), None))
