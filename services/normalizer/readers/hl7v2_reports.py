"""Reports of a message: OBR groups that belong together are sections of one."""

from dataclasses import dataclass, field

from services.normalizer.document_types import OTHER, classify_document, title_of
from services.normalizer.readers.embedded import unfold_all
from services.normalizer.readers.hl7v2_codes import CODES, read_code
from services.normalizer.readers.hl7v2_heading import (
    CANCELLED_RANK,
    CORRECTED_RANK,
    FINAL_RANK,
    FOLLOWING,
    REFERRAL,
    interpreters,
    moment_of,
    numbers_of,
    people_of,
    source_of,
)
from services.normalizer.readers.hl7v2_results import Body, read_body
from services.normalizer.readers.hl7v2_times import read_time
from shared.canonical.elements import Content, Section
from shared.canonical.reading import DocumentReading, DocumentStatus, ProviderProfile, Reading
from shared.formats.hl7v2 import Message, Segment
from shared.formats.hl7v2_identity import entity_key, report_key
from shared.identity import digest, document_id, source_version


@dataclass(slots=True)
class Group:
    """One OBR with what follows it."""

    obr: Segment
    orc: Segment | None
    body: list[Segment] = field(default_factory=list)

    @property
    def tokens(self) -> set[str]:
        """What ties groups together: filler number (placer number where there is none), placer group (ORC-4), parent (OBR-29).

        A parent that is named by its placer's number ties its children; `reports_of` ties them to the parent itself.
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


def groups_of(message: Message) -> list[Group]:
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


def reports_of(groups: list[Group]) -> list[list[Group]]:
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


def read_report(
    message: Message, groups: list[Group], index: int, content: bytes, patient_key: str | None, provider: ProviderProfile, reading: Reading
) -> DocumentReading:
    """A report from its OBR groups."""
    first = groups[0].obr
    bodies = [_body(one, reading) for one in groups]
    codings = [code for one in groups if (code := read_code(one.obr.field(4)))]
    title = codings[0].display if codings else None
    service = first.text(24)
    kind = classify_document(codings, diagnostic_service=service, titles=[one.display for one in codings])
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
    edited = [found for one in groups if (found := moment_of(one.obr.text(22), provider, message, reading, "OBR-22"))]
    sent = moment_of(message.header.text(7), provider, message, reading, "MSH-7")
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
        authors=people_of(interpreters(first)) or people_of(first.repetitions(16)),
        source=source_of(message, provider),
    )
    made.identifiers = numbers_of([(one.obr.field(at), kind) for one in groups for at, kind in ((3, "filler"), (2, "placer"))])
    made.content = _content(list(zip(groups, bodies, strict=True)), reading)
    unfold_all(made.content, reading, provider)
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
