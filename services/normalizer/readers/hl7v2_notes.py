"""Notes of a message: one document for each TXA, and what has observations but no report around them."""

from itertools import islice

from services.normalizer.document_types import OTHER, classify_document, title_of
from services.normalizer.readers.embedded import unfold_all
from services.normalizer.readers.hl7v2_codes import CODES, read_code
from services.normalizer.readers.hl7v2_heading import CANCELLED_RANK, FOLLOWING, REFERRAL, moment_of, numbers_of, people_of, source_of
from services.normalizer.readers.hl7v2_results import read_body
from services.normalizer.readers.hl7v2_times import read_time
from shared.canonical.elements import Content, Relation
from shared.canonical.reading import DocumentReading, DocumentStatus, ProviderProfile, Reading, Warning
from shared.formats.hl7v2 import REPORTS, Message, Segment
from shared.formats.hl7v2_identity import document_number, entity_key
from shared.identity import digest, document_id, source_version

MAX_LOOKED_AT = 20  # OBX that may tell what kind of document a TXA is


def read_note(
    message: Message, txa: Segment, index: int, sha256: str, patient_key: str | None, provider: ProviderProfile, reading: Reading
) -> DocumentReading:
    """A document with a TXA; the OBX of the message are its text and its files."""
    segments = [one for one in message.segments if one.name in FOLLOWING] if index == 0 else []
    body = read_body(segments, group=None, is_narrative=True, warnings=reading.warnings)
    reading.files |= body.files
    txa_code, obr = read_code(txa.field(2)), message.first("OBR")
    obr_code = read_code(obr.field(4)) if obr else None
    shown = [code for one in islice(message.all("OBX"), MAX_LOOKED_AT) if (code := read_code(one.field(3)))]
    named = (txa_code.display if txa_code else None) or (obr_code.display if obr_code else None)
    title = txa.text(25) or named
    kind = classify_document([txa_code] if txa_code else [], local_type=txa.text(2))
    if kind == OTHER:
        kind = classify_document(
            [one for one in (obr_code, *shown[:1]) if one], diagnostic_service=obr.text(24) if obr else None, titles=(named, title)
        )
    key = document_number(message, txa)
    is_cancelled = message.event == "T11"
    made = DocumentReading(
        document_id(provider.provider_id, f"mdm|{key}" if key else f"mdm|sha256:{sha256}|{index}"),
        patient_key,
        kind,
        _note_version(message, txa, provider, reading, is_cancelled=is_cancelled),
        title or title_of(kind),
        _note_status(txa, is_cancelled=is_cancelled),
        type_coding=txa_code or obr_code,
        date=next((read for number in (4, 6, 7) if (read := read_time(txa.text(number)))), None) or read_time(message.header.text(7)),
        authors=people_of(txa.repetitions(9)) or people_of(txa.repetitions(5)),
        source=source_of(message, provider),
        relations=_relations(message, txa, provider),
        content=Content("\n".join(body.lines).strip("\n") or None, [], body.results, body.attachments),
    )
    unfold_all(made.content, reading, provider)
    numbers = [(txa.field(12), "document"), (txa.field(13), "parent")]
    if obr:
        numbers += [(obr.field(3), "filler"), (obr.field(2), "placer")]
    made.identifiers = numbers_of(numbers)
    return made


def _note_version(message: Message, txa: Segment, provider: ProviderProfile, reading: Reading, *, is_cancelled: bool) -> str:
    """TXA-8 edit, else 7, 6, EVN-2, MSH-7; a cancellation counts from when it was sent. Rank: TXA-17."""
    written = [(txa.text(8), "TXA-8"), (txa.text(7), "TXA-7"), (txa.text(6), "TXA-6")]
    evn = message.first("EVN")
    sent = [(evn.text(2) if evn else None, "EVN-2"), (message.header.text(7), "MSH-7")]
    found = [made for text, where in (written + sent) if (made := moment_of(text, provider, message, reading, where))]
    if is_cancelled:
        return source_version("mdm", edited_at=max(found, default=None), rank=CANCELLED_RANK)
    rank = int(CODES["completion_rank"].get((txa.text(17) or "").upper(), 0))
    return source_version("mdm", edited_at=found[0] if found else None, rank=rank)


def _note_status(txa: Segment, *, is_cancelled: bool) -> DocumentStatus:
    """TXA-19 availability, then TXA-17 completion."""
    if is_cancelled:
        return "withdrawn"
    status = CODES["availability_status"].get((txa.text(19) or "").upper()) or CODES["completion_status"].get((txa.text(17) or "").upper())
    return status or "current"


def _relations(message: Message, txa: Segment, provider: ProviderProfile) -> list[Relation]:
    """T05 and T06 append to TXA-13, T09 and T10 replace it."""
    parent = entity_key(txa.field(13))
    if parent is None:
        return []
    if message.event in ("T05", "T06"):
        return [Relation("appends", document_id(provider.provider_id, f"mdm|{parent}"))]
    return [Relation("replaces", parent)] if message.event in ("T09", "T10") else []


def read_bare(message: Message, content: bytes, patient_key: str | None, provider: ProviderProfile, reading: Reading) -> DocumentReading:
    """OBX without OBR or TXA: a document known by its bytes."""
    body = read_body(
        [one for one in message.segments if one.name in FOLLOWING],
        group=None,
        is_narrative=message.code == "MDM",
        warnings=reading.warnings,
    )
    reading.files |= body.files
    reading.warnings.append(Warning("report_without_number", "OBR"))
    kind = "lab_report" if body.results and message.code in REPORTS else "referral_note" if message.code == REFERRAL else OTHER
    sent = moment_of(message.header.text(7), provider, message, reading, "MSH-7")
    made = DocumentReading(
        document_id(provider.provider_id, f"oru|sha256:{digest(content)}|0"),
        patient_key,
        kind,
        source_version("oru", edited_at=sent),
        title_of(kind),
        date=read_time(message.header.text(7)),
        source=source_of(message, provider),
        content=Content("\n".join(body.lines).strip("\n") or None, [], body.results, body.attachments),
    )
    unfold_all(made.content, reading, provider)
    return made
