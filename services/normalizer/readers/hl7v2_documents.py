"""Documents of a message: one for each TXA, else one for each report; OBR groups that belong together are sections of one report."""

from services.normalizer.readers.hl7v2_heading import REFERRAL
from services.normalizer.readers.hl7v2_notes import read_bare, read_note
from services.normalizer.readers.hl7v2_reports import groups_of, read_report, reports_of
from shared.canonical.reading import DocumentReading, ProviderProfile, Reading, Warning
from shared.formats.hl7v2 import REPORTS, Message
from shared.identity import digest


def read_documents(
    message: Message, content: bytes, patient_key: str | None, provider: ProviderProfile, reading: Reading
) -> list[DocumentReading]:
    """The documents of a message; warnings and files are added to the reading."""
    txas = message.all("TXA")
    if txas:
        sha256 = digest(content)
        return [read_note(message, txa, index, sha256, patient_key, provider, reading) for index, txa in enumerate(txas)]
    groups = [one for one in groups_of(message) if message.code in REPORTS or any(part.name == "OBX" for part in one.body)]
    if groups:
        return [read_report(message, one, index, content, patient_key, provider, reading) for index, one in enumerate(reports_of(groups))]
    if message.all("OBX") or (message.code == REFERRAL and message.all("NTE")):
        if message.code in REPORTS or message.code in ("MDM", REFERRAL):
            return [read_bare(message, content, patient_key, provider, reading)]
        reading.warnings.append(Warning("observations_without_report", "OBX"))
    return []
