"""HL7 v2 messages of any type, by their segments: TXA makes a document, OBR groups make reports, the rest are facts about the patient."""

from services.normalizer.ledger.hl7v2 import take_stock
from services.normalizer.readers.hl7v2_documents import read_documents
from services.normalizer.readers.hl7v2_patient import read_merges, read_patient
from services.normalizer.readers.hl7v2_times import read_time
from shared.canonical.reading import ProviderProfile, Reading, Warning, rejected, skipped
from shared.formats.hl7v2 import parse
from shared.outcomes import Reason

MERGE_EVENTS = frozenset({"A18", "A24", "A34", "A35", "A36", "A40", "A41", "A43", "A45", "A47"})
WITHOUT_RECORD = frozenset({"ACK", "QRY", "QBP", "RSP", "MFN", "MFK", "NMD"})  # acknowledgements, queries, master files


def read_hl7v2(content: bytes, provider: ProviderProfile) -> Reading:
    """Read one message. Never raises for what the bytes hold."""
    message = parse(content)
    if isinstance(message, str):
        return rejected("hl7v2", Reason.MALFORMED_HL7, message)
    warnings = [Warning(code, "MSH") for code in message.warnings]
    pids = message.all("PID")
    reading = Reading("hl7v2", "normalized", warnings=warnings)
    reading.source_time = _source_time([message.header.text(7), *(one.text(2) for one in message.all("EVN"))])
    if message.event in MERGE_EVENTS:
        # a merge carries no snapshot: what PID says here belongs to whoever survives
        reading.merges = read_merges(message, provider)
        if reading.merges:
            reading.losses = take_stock(message, has_documents=False)
            return reading
        return rejected("hl7v2", Reason.MALFORMED_HL7, "MRG")
    if len({one.raw(3) for one in pids}) > 1:
        return rejected("hl7v2", Reason.SEVERAL_PATIENTS, "PID[2]")
    patient = read_patient(message, pids[0], provider, warnings) if pids else None
    key = (patient.patient_key or None) if patient else None
    reading.documents = read_documents(message, content, key, provider, reading)
    if patient and not key and reading.documents:
        # somebody without a number is held under the document until someone says who it is
        patient.patient_key = reading.documents[0].document_id
    if patient and patient.patient_key:
        reading.patients = [patient]
    elif not reading.documents:
        if message.code in WITHOUT_RECORD:
            return skipped("hl7v2", Reason.NO_CLINICAL_CONTENT)
        return rejected("hl7v2", Reason.PATIENT_UNIDENTIFIED, "PID-3")
    reading.losses = take_stock(message, has_documents=bool(reading.documents))
    return reading


def _source_time(written: list[str | None]) -> str | None:
    """When the source spoke: EVN-2 where it is later than MSH-7 is rare enough; MSH-7 first."""
    return next((read for one in written if (read := read_time(one))), None)
