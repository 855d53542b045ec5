"""Who an HL7 v2 message is about and which documents it holds: identifiers, document numbers, and the light look."""

from shared.canonical.reading import ProviderProfile
from shared.formats import LightLook
from shared.formats.hl7v2 import REPORTS, Field, Message, Segment, parse
from shared.identity import PatientIdentifier, choose_identifier, document_id, patient_key


def patient_identifiers(pid: Segment) -> list[PatientIdentifier]:
    """PID-3, else PID-2, else PID-4: value, assigning authority (universal id before namespace), type."""
    for number in (3, 2, 4):
        found = [one for one in (read_identifier(part) for part in pid.repetitions(number)) if one is not None]
        if found:
            return found
    return []


def read_identifier(field: Field) -> PatientIdentifier | None:
    """A CX: CX-1 value, CX-4 assigning authority (HD), CX-5 type."""
    value = field.text(1)
    if value is None:
        return None
    return PatientIdentifier(authority(field, 4), value, field.text(5))


def authority(field: Field, component: int) -> str | None:
    """An HD: a universal id that is an OID or another URI counts before the local namespace."""
    return field.text(component, 2) or field.text(component, 1)


def entity_key(field: Field) -> str | None:
    """An EI as `system|value`: EI-3 universal id, else EI-2 namespace; None without a value."""
    value = field.text(1)
    return None if value is None else f"{field.text(3) or field.text(2) or ''}|{value}"


def document_keys(message: Message) -> list[str]:
    """The canonical keys of the message's documents as far as a light look tells: TXA-12 or TXA-13, OBR-3 with OBR-4.1, else OBR-2."""
    txa = message.first("TXA")
    if txa is not None and (key := document_number(message, txa)) is not None:
        return [f"mdm|{key}"]
    obr = next(iter(message.all("OBR")), None) if message.code in REPORTS else _first_observed(message)
    if obr is not None and (key := report_key(obr)) is not None:
        return [key]
    return []


def _first_observed(message: Message) -> Segment | None:
    """The first OBR that an OBX follows: in orders the others are no reports."""
    obr: Segment | None = None
    for one in message.segments:
        if one.name == "OBR":
            obr = one
        elif one.name == "OBX" and obr is not None:
            return obr
    return None


def document_number(message: Message, txa: Segment) -> str | None:
    """TXA-12; a replacement (T09, T10) keeps the number of the document that it replaces (TXA-13)."""
    own, parent = entity_key(txa.field(12)), entity_key(txa.field(13))
    return parent if parent and message.event in ("T09", "T10") else own


def report_key(obr: Segment) -> str | None:
    """`oru|<filler>|<OBR-4.1>`, with the placer's number where there is no filler's."""
    number = entity_key(obr.field(3)) or entity_key(obr.field(2))
    return None if number is None else f"oru|{number}|{obr.text(4) or ''}"


def light_identity(content: bytes, provider: ProviderProfile) -> LightLook:
    """Whose message it is, which document, and the sender's number. Never raises; an unreadable message tells nothing."""
    message = parse(content)
    if isinstance(message, str):
        return LightLook()
    pids = message.all("PID")
    chosen = choose_identifier(patient_identifiers(pids[0]), provider.authorities) if len(pids) == 1 else None
    keys = document_keys(message)
    return LightLook(
        patient_key(provider.provider_id, chosen) if chosen else None,
        document_id(provider.provider_id, keys[0]) if keys else None,
        message.header.text(10),
        None,
    )
