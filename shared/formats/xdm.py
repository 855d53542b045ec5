"""The metadata of an IHE XDM submission set: which file is about whom (IHE ITI TF-3, 4.2 and 4.3: ebXML of a submission)."""

from shared.formats.xml import RefusedXML, decode_xml, parse_xml
from shared.identity import PatientIdentifier

RIM = "{urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0}"
PATIENT_ID = "urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427"  # XDSDocumentEntry.patientId


def read_submission(content: bytes) -> dict[str, PatientIdentifier]:
    """The patient by file name: the source's own number before the affinity domain's. Empty when the metadata cannot be read."""
    try:
        root = parse_xml(decode_xml(content).content)
    except RefusedXML:
        return {}
    found: dict[str, PatientIdentifier] = {}
    for entry in root.iter(f"{RIM}ExtrinsicObject"):
        slots = {slot.get("name"): (slot.findtext(f"{RIM}ValueList/{RIM}Value") or "").strip() for slot in entry.iter(f"{RIM}Slot")}
        domain = next(
            (one.get("value") for one in entry.iter(f"{RIM}ExternalIdentifier") if one.get("identificationScheme") == PATIENT_ID), None
        )
        patient = read_cx(slots.get("sourcePatientId")) or read_cx(domain)
        if patient is not None and slots.get("URI"):
            found[slots["URI"]] = patient
    return found


def read_cx(text: str | None) -> PatientIdentifier | None:
    """`number^^^&oid&ISO` as an identifier; None when it is none."""
    if not text:
        return None
    parts = text.split("^")
    authority = parts[3].split("&") if len(parts) > 3 else []
    system = next((one for one in (*authority[1:2], *authority[:1]) if one), None)
    return PatientIdentifier(system, parts[0].strip()) if parts[0].strip() else None
