"""Documents of a message: one for each TXA, else one for each report; OBR groups that belong together are sections of one report."""

from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from services.normalizer.document_types import OTHER, classify_document, title_of
from services.normalizer.readers.hl7v2_results import Body, read_body
from services.normalizer.readers.hl7v2_values import CODES, read_code, read_person, read_time
from services.normalizer.times import moment
from shared.canonical.elements import Content, DocumentIdentifier, Relation, Section, Source
from shared.canonical.reading import DocumentReading, DocumentStatus, ProviderProfile, Reading, Warning
from shared.formats.hl7v2 import REPORTS, Field, Message, Segment, document_number, entity_key, report_key
from shared.identity import digest, document_id, source_version

FINAL_RANK, CORRECTED_RANK, CANCELLED_RANK = 7, 8, 9
FOLLOWING = frozenset({"OBX", "NTE", "SPM"})
REFERRAL = "REF"
MAX_LOOKED_AT = 20  # OBX that may tell what kind of document a TXA is


@dataclass(slots=True)
class Group:
    """One OBR with what follows it."""

    obr: Segment
    orc: Segment | None
    body: list[Segment] = field(default_factory=list)

    @property
    def tokens(self) -> set[str]:
        """What ties groups together: filler number (placer number where there is none), placer group (ORC-4), parent (OBR-29).

        A parent that is named by its placer's number ties its children; `_reports` ties them to the parent itself.
        """
        filler, placer = entity_key(self.obr.field(3)), entity_key(self.obr.field(2))
        found = {f"filler|{filler}"} if filler else {f"placer|{placer}"} if placer else {"unnumbered"}
        if self.orc and (group := entity_key(self.orc.field(4))):
            found.add(f"group|{group}")
        if parent := self.obr.text(29, 2, 1):
            found.add(f"filler|{self.obr.text(29, 2, 3) or self.obr.text(29, 2, 2) or ''}|{parent}")
        elif placer := self.obr.text(29, 1, 1):
            found.add(f"parent|{self.obr.text(29, 1, 3) or self.obr.text(29, 1, 2) or ''}|{placer}")
        return found


def read_documents(
    message: Message, content: bytes, patient_key: str | None, provider: ProviderProfile, reading: Reading
) -> list[DocumentReading]:
    """The documents of a message; warnings and files are added to the reading."""
    txas = message.all("TXA")
    if txas:
        sha256 = digest(content)
        return [_note(message, txa, index, sha256, patient_key, provider, reading) for index, txa in enumerate(txas)]
    groups = [one for one in _groups(message) if message.code in REPORTS or any(part.name == "OBX" for part in one.body)]
    if groups:
        return [_report(message, one, index, content, patient_key, provider, reading) for index, one in enumerate(_reports(groups))]
    if message.all("OBX") or (message.code == REFERRAL and message.all("NTE")):
        if message.code in REPORTS or message.code in ("MDM", REFERRAL):
            return [_bare(message, content, patient_key, provider, reading)]
        reading.warnings.append(Warning("observations_without_report", "OBX"))
    return []


def _groups(message: Message) -> list[Group]:
    """OBR groups in order: each OBX belongs to the OBR before it."""
    groups: list[Group] = []
    orc: Segment | None = None
    for segment in message.segments:
        if segment.name == "ORC":
            orc = segment
        elif segment.name == "OBR":
            groups.append(Group(segment, orc))
            orc = None
        elif segment.name == "PID":
            orc = None
        elif groups and segment.name in FOLLOWING:
            groups[-1].body.append(segment)
    return groups


def _reports(groups: list[Group]) -> list[list[Group]]:
    """Groups that belong together, each set in the order of its first. Masses of groups cost no more than each its turn."""
    home: dict[str, int] = {}  # by token
    tokens: dict[int, set[str]] = {}
    members: dict[int, list[Group]] = {}
    said = [one.tokens for one in groups]
    parents = {token for one in said for token in one if token.startswith("parent|")}
    for number, one in enumerate(groups):
        if parents and f"parent|{entity_key(one.obr.field(2))}" in parents:
            said[number].add(f"parent|{entity_key(one.obr.field(2))}")
        tokens[number], members[number] = said[number], [one]
        # this group ties together what stood apart: into the one with most, so that nothing moves often
        tied = {home[token] for token in tokens[number] if token in home} | {number}
        most = max(tied, key=lambda report: len(tokens[report]))
        for other in tied - {most}:
            home.update(dict.fromkeys(tokens[other], most))
            tokens[most] |= tokens.pop(other)
            members[most] += members.pop(other)
        home.update(dict.fromkeys(said[number], most))
    return sorted((sorted(one, key=lambda each: each.obr.number) for one in members.values()), key=lambda one: one[0].obr.number)


def _report(
    message: Message, groups: list[Group], index: int, content: bytes, patient_key: str | None, provider: ProviderProfile, reading: Reading
) -> DocumentReading:
    """A report from its OBR groups."""
    first = groups[0].obr
    bodies = [_body(one, reading) for one in groups]
    codings = [code for one in groups if (code := read_code(one.obr.field(4)))]
    title = codings[0].display if codings else None
    service = first.text(24)
    kind = classify_document(codings, diagnostic_service=service, title=title)
    if (
        kind == OTHER
        and service is None
        and message.code != REFERRAL
        and any(result.value.kind not in ("text", "none") for body in bodies for result in body.results)
    ):
        kind = "lab_report"
    elif kind == OTHER and message.code == REFERRAL:
        kind = "referral_note"
    statuses = [_report_status(one, body) for one, body in zip(groups, bodies, strict=True)]
    rank = _combined(statuses)
    edited = [found for one in groups if (found := _moment(one.obr.text(22), provider, message, reading, "OBR-22"))]
    sent = _moment(message.header.text(7), provider, message, reading, "MSH-7")
    key = report_key(first) or f"oru|sha256:{digest(content)}|{index}"
    is_wrong_patient = any("W" in body.statuses for body in bodies)
    made = DocumentReading(
        document_id(provider.provider_id, key),
        patient_key,
        kind,
        source_version("oru", edited_at=max(edited) if edited else sent, rank=CANCELLED_RANK if is_wrong_patient else rank),
        title or title_of(kind),
        _status(rank, is_wrong_patient),
        type_coding=codings[0] if codings else None,
        date=read_time(first.text(7)) or read_time(first.text(22)) or read_time(message.header.text(7)),
        authors=_people(_interpreters(first)) or _people(first.repetitions(16)),
        source=_source(message, provider),
    )
    made.identifiers = _numbers([(one.obr.field(at), kind) for one in groups for at, kind in ((3, "filler"), (2, "placer"))])
    made.content = _content(list(zip(groups, bodies, strict=True)), reading)
    return made


def _body(group: Group, reading: Reading) -> Body:
    code = read_code(group.obr.field(4))
    named = (code.code or code.display) if code else None
    return read_body(group.body, group=named, around=read_time(group.obr.text(7)), is_narrative=False, warnings=reading.warnings)


def _content(parts: list[tuple[Group, Body]], reading: Reading) -> Content:
    """Several groups are sections of one document; a single one needs none."""
    content = Content()
    for group, body in parts:
        code = read_code(group.obr.field(4))
        text = "\n".join(body.lines).strip("\n") or None
        if len(parts) > 1:
            content.sections.append(Section(code.code if code else None, code.display if code else None, text))
        content.results += body.results
        content.attachments += body.attachments
        reading.files |= body.files
    titled = [f"{one.title}\n{one.text}" if one.title else one.text for one in content.sections if one.text]
    content.text = "\n\n".join(one for one in titled if one) if content.sections else ("\n".join(parts[0][1].lines).strip("\n"))
    content.text = content.text or None
    return content


def _report_status(group: Group, body: Body) -> int:
    """The rank of a group: OBR-25, else what its OBX-11 say together."""
    written = (group.obr.text(25) or "").upper()
    rank = CODES["report_rank"].get(written)
    if rank is not None:
        return int(rank)
    if "C" in body.statuses:
        return CORRECTED_RANK
    if body.statuses and all(one in ("X", "D") for one in body.statuses):
        return CANCELLED_RANK
    if any(one in ("P", "R", "S", "I") for one in body.statuses):
        return int(CODES["report_rank"]["P"])
    return FINAL_RANK


def _combined(ranks: list[int]) -> int:
    """The rank of a report of several groups: cancelled when all are, corrected when one is, else the least advanced."""
    if all(one == CANCELLED_RANK for one in ranks):
        return CANCELLED_RANK
    standing = [one for one in ranks if one != CANCELLED_RANK]
    return CORRECTED_RANK if CORRECTED_RANK in standing else min(standing)


def _status(rank: int, is_wrong_patient: bool) -> DocumentStatus:
    if is_wrong_patient or rank == CANCELLED_RANK:
        return "withdrawn"
    return "preliminary" if rank < FINAL_RANK else "current"


def _note(
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
            [one for one in (obr_code, *shown[:1]) if one], diagnostic_service=obr.text(24) if obr else None, title=named or title
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
        authors=_people(txa.repetitions(9)) or _people(txa.repetitions(5)),
        source=_source(message, provider),
        relations=_relations(message, txa, provider),
        content=Content("\n".join(body.lines).strip("\n") or None, [], body.results, body.attachments),
    )
    numbers = [(txa.field(12), "document"), (txa.field(13), "parent")]
    if obr:
        numbers += [(obr.field(3), "filler"), (obr.field(2), "placer")]
    made.identifiers = _numbers(numbers)
    return made


def _note_version(message: Message, txa: Segment, provider: ProviderProfile, reading: Reading, *, is_cancelled: bool) -> str:
    """TXA-8 edit, else 7, 6, EVN-2, MSH-7; a cancellation counts from when it was sent. Rank: TXA-17."""
    written = [(txa.text(8), "TXA-8"), (txa.text(7), "TXA-7"), (txa.text(6), "TXA-6")]
    evn = message.first("EVN")
    sent = [(evn.text(2) if evn else None, "EVN-2"), (message.header.text(7), "MSH-7")]
    found = [made for text, where in (written + sent) if (made := _moment(text, provider, message, reading, where))]
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


def _bare(message: Message, content: bytes, patient_key: str | None, provider: ProviderProfile, reading: Reading) -> DocumentReading:
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
    sent = _moment(message.header.text(7), provider, message, reading, "MSH-7")
    return DocumentReading(
        document_id(provider.provider_id, f"oru|sha256:{digest(content)}|0"),
        patient_key,
        kind,
        source_version("oru", edited_at=sent),
        title_of(kind),
        date=read_time(message.header.text(7)),
        source=_source(message, provider),
        content=Content("\n".join(body.lines).strip("\n") or None, [], body.results, body.attachments),
    )


def _moment(written: str | None, provider: ProviderProfile, message: Message, reading: Reading, where: str) -> datetime | None:
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


def _source(message: Message, provider: ProviderProfile) -> Source:
    """MSH-4 sending facility, MSH-3 sending application."""
    return Source("provider", provider.organization or message.header.text(4), message.header.text(3))


def _people(fields: list[Field]) -> list[str]:
    return list(dict.fromkeys(name for one in fields if (name := read_person(one))))


def _interpreters(obr: Segment) -> list[Field]:
    """OBR-32 is an NDL: the name stands in its first component as subcomponents; older senders write it as an XCN."""
    found = []
    for one in obr.repetitions(32):
        inner = one.separators.subcomponent
        is_nested = inner in one.components[0]
        found.append(Field(one.components[0].replace(inner, one.separators.component), one.separators) if is_nested else one)
    return found


def _numbers(written: list[tuple[Field, str]]) -> list[DocumentIdentifier]:
    """Numbers with their kinds, each once."""
    found: dict[tuple[str, str], DocumentIdentifier] = {}
    for number, kind in written:
        if value := number.text(1):
            found.setdefault((value, kind), DocumentIdentifier(number.text(3) or number.text(2), value, kind))
    return list(found.values())
