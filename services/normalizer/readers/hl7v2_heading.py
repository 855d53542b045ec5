"""What reports and notes of a message share: moments, people, numbers, the source."""

from datetime import datetime

from services.normalizer.readers.hl7v2_people import read_person
from services.normalizer.readers.hl7v2_times import read_time
from services.normalizer.times import moment
from shared.canonical.elements import DocumentIdentifier, Source
from shared.canonical.reading import ProviderProfile, Reading, Warning
from shared.formats.hl7v2 import Field, Message, Segment

FINAL_RANK, CORRECTED_RANK, CANCELLED_RANK = 7, 8, 9
FOLLOWING = frozenset({"OBX", "NTE", "SPM"})
REFERRAL = "REF"  # MSH-9.1: a referral is a document for its reader


def moment_of(written: str | None, provider: ProviderProfile, message: Message, reading: Reading, where: str) -> datetime | None:
    """A time of the message as a moment; without a zone it takes the provider's and says so once."""
    if written is None:
        return None
    text = read_time(written)
    if text is None:
        reading.warnings.append(Warning("date_not_understood", where))
        return None
    has_zone = text.endswith("Z") or "+" in text or "-" in text[11:]
    if "T" in text and not has_zone and "time_without_zone" not in message.warnings:
        message.warnings.append("time_without_zone")  # remembered there, where no mass of others stands
        reading.warnings.append(Warning("time_without_zone", where))
    return moment(text, provider.time_zone)


def source_of(message: Message, provider: ProviderProfile) -> Source:
    """MSH-4 sending facility, MSH-3 sending application."""
    return Source("provider", provider.organization or message.header.text(4), message.header.text(3))


def people_of(fields: list[Field]) -> list[str]:
    return list(dict.fromkeys(name for one in fields if (name := read_person(one))))


def interpreters(obr: Segment) -> list[Field]:
    """OBR-32 is an NDL: the name stands in its first component as subcomponents; older senders write it as an XCN."""
    found = []
    for one in obr.repetitions(32):
        inner = one.separators.subcomponent
        is_nested = inner in one.components[0]
        found.append(Field(one.components[0].replace(inner, one.separators.component), one.separators) if is_nested else one)
    return found


def numbers_of(written: list[tuple[Field, str]]) -> list[DocumentIdentifier]:
    """Numbers with their kinds, each once."""
    found: dict[tuple[str, str], DocumentIdentifier] = {}
    for number, kind in written:
        if value := number.text(1):
            found.setdefault((value, kind), DocumentIdentifier(number.text(3) or number.text(2), value, kind))
    return list(found.values())
