"""A document as a platform shows it: the one file that says everything, else readable text. Pure; equal documents make equal bytes."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from services.carepatron_writer.platforms.port import Upload
from shared.canonical.elements import Attachment, Coding, NutritionChange, Result, Section, Value
from shared.canonical.models import HealthcareDocument
from shared.identity import digest

RENDERING = 1  # counts changes of what is rendered; a replay then updates what was written before

# LOINC sections that a dietician wants on top: allergies, diet and nutrition, discharge diet, nutrition assessment, intake
DIETARY_SECTIONS = frozenset({"48765-2", "61144-2", "42344-2", "75305-3", "61146-7"})
DIETARY_TITLES = re.compile(r"\b(allerg|diet|nutrition|food)", re.IGNORECASE)
# HL7 table 0078: outside the range or the expected
ABNORMAL = frozenset({"H", "HH", "HU", "L", "LL", "LU", "A", "AA", "<", ">", "POS", "DET", "R"})
# what the diet lens marks, by kind of change and reason, in words; without a reason: any other
HAPPENED = {
    ("appeared", "new"): "is new",
    ("appeared", "first_known"): "is heard of for the first time",
    ("appeared", "again"): "is back",
    ("appeared", "listed"): "stands on a list, perhaps no longer taken",
    ("ended", "refuted"): "is ruled out",
    ("ended", "withdrawn"): "was taken back by its source",
    ("ended", "not_taken"): "is not taken",
    ("ended", ""): "has ended",
    ("out_of_range", "above"): "is above its range",
    ("out_of_range", "below"): "is below its range",
    ("out_of_range", "critically_above"): "is critically above its range",
    ("out_of_range", "critically_below"): "is critically below its range",
    ("out_of_range", "critically_abnormal"): "is marked as critical",
    ("out_of_range", ""): "is marked as abnormal",
    ("back_in_range", ""): "is back in its range",
    ("changed", "rose"): "has risen",
    ("changed", "fell"): "has fallen",
    ("not_compared", ""): "came in another unit and was not compared",
}
SUMMARY_LINES = 12
SUMMARY_CHARACTERS = 240
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u2028\u2029\ud800-\udfff]")


def clean(text: str) -> str:
    """Text without control characters (tabs and line ends stay) and without space around it."""
    return _CONTROLS.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def platform_version(version: str) -> str:
    """The version that platforms compare: the event's, then how we render it. A full stop sorts before every further part."""
    return f"{version}.{RENDERING:02d}"


def choose_file(document: HealthcareDocument, media_types: Sequence[str]) -> Attachment | None:
    """The attachment that is uploaded as it is: the only one, unless results stand beside it, or the first where nothing is readable."""
    content = document.content
    usable = [one for one in content.attachments if one.media_type.partition(";")[0].strip().lower() in media_types and one.sha256]
    if len(content.attachments) == 1 and usable and not content.results:
        return usable[0]
    return usable[0] if usable and not is_readable(document) else None


def is_readable(document: HealthcareDocument) -> bool:
    """Whether there is anything to render besides the title."""
    content = document.content
    return bool((content.text or "").strip() or content.results or any((one.text or "").strip() for one in content.sections))


def upload_of(document: HealthcareDocument, version: str, file: Attachment | None, data: bytes | None) -> Upload:
    """The document made ready: `data` are the bytes of `file`, or None for the readable text."""
    content = data if data is not None else render_text(document)
    media_type = file.media_type.partition(";")[0].strip().lower() if file is not None and data is not None else "text/plain"
    replaced = next((one.target for one in document.relations if one.kind == "replaces"), None)
    return Upload(
        document_id=str(document.id),
        version=platform_version(version),
        type=str(document.type),
        type_coding=_coding(document.type_coding),
        title=_title(document),
        date=document.date,
        authors=tuple(one for one in map(clean, document.authors) if one),
        source={
            "kind": "primary_healthcare_provider" if document.source.kind == "provider" else "user",
            "organization": document.source.organization,
            "system": document.source.system,
        },
        status=document.status if document.status in ("current", "preliminary", "superseded") else "current",
        supersedes=replaced,
        dietary=dietary_lines(document),
        abnormal=abnormal_lines(document),
        media_type=media_type,
        content=content,
        sha256=file.sha256 if file is not None and file.sha256 and data is not None else digest(content),  # the store has checked it
    )


def render_text(document: HealthcareDocument) -> bytes:
    """Everything that the document says, as UTF-8 text."""
    content = document.content
    kind = str(document.type).replace("_", " ")
    head = " | ".join(one for one in (kind.capitalize(), document.date, document.status) if one)
    blocks = [f"{_title(document)}\n{head}"]
    people = [f"Author: {', '.join(document.authors)}"] if document.authors else []
    people += [f"From: {document.source.organization}"] if document.source.organization else []
    if people:
        blocks.append("\n".join(people))
    blocks += _block("Diet and allergies, as stated here", dietary_lines(document), "- ")
    blocks += _block("Outside the expected range", abnormal_lines(document), "- ")
    blocks += [_section(one) for one in content.sections if (one.text or "").strip()]
    blocks += _block("Results", [_result(one) for one in content.results])
    said = _folded("\n\n".join(blocks))
    text = clean(content.text or "")
    if any(_folded(line) not in said for line in text.splitlines()):  # what sections and results say already is not repeated
        blocks.append(text)
    blocks += _block("Files with the source", [_file(one) for one in content.attachments], "- ")
    return (clean("\n\n".join(blocks)) + "\n").encode()


def dietary_lines(document: HealthcareDocument) -> tuple[str, ...]:
    """What the document's own dietary sections say, line by line, in their words: a denial stays a denial."""
    lines: list[str] = []
    for one in document.content.sections:
        if one.code in DIETARY_SECTIONS or DIETARY_TITLES.search(one.title or ""):
            lines += [_short(line) for line in clean(one.text or "").splitlines() if line.strip()]
    return tuple(lines[:SUMMARY_LINES])


def abnormal_lines(document: HealthcareDocument) -> tuple[str, ...]:
    """Results that the source marks as abnormal."""
    marked = [one for one in document.content.results if (one.interpretation or "").upper() in ABNORMAL]
    return tuple(_short(f"{_name(one)} {_value(one.value)} {one.interpretation}") for one in marked[:SUMMARY_LINES])


def change_entry(change: NutritionChange) -> dict[str, Any]:
    """What changed for a dietician, as a client card shows it: what, why it matters, and where it stands."""
    happened = HAPPENED.get((change.change, change.reason)) or HAPPENED.get((change.change, "")) or f"{change.change} {change.reason}"
    said = f": {change.said}" if change.said else ""
    entry = {
        "rule": change.rule,
        "change": change.change,
        "reason": change.reason,
        "text": _short(f"{change.name} {happened.replace('_', ' ')}{said}"),
        "why": clean(change.why),
        "date": change.date and clean(change.date),
        "sourceDocumentId": change.source_document_id,
        "path": change.path,
    }
    return {name: value for name, value in entry.items() if value}


def _title(document: HealthcareDocument) -> str:
    return _short(document.title) or str(document.type).replace("_", " ").capitalize()


def _block(title: str, lines: Iterable[str], mark: str = "") -> list[str]:
    shown = "\n".join(f"{mark}{line}" for line in lines if line.strip())
    return [f"{title}\n{'-' * len(title)}\n{shown}"] if shown else []


def _section(section: Section) -> str:
    title = clean(section.title or section.code or "Section")
    return f"{title}\n{'-' * len(title)}\n{clean(section.text or '')}"


def _result(result: Result) -> str:
    parts = [f"{_name(result)}: {_value(result.value) or 'no value'}"]
    parts += [str(result.interpretation)] if result.interpretation else []
    parts += [f"(range {result.reference_range})"] if result.reference_range else []
    parts += [f"[{result.status}]"] if result.status not in ("final", "unknown") else []
    parts += [f"at {result.effective}"] if result.effective else []
    return clean(" ".join(parts))


def _name(result: Result) -> str:
    code = result.code
    return clean((code.display or code.code or "") if code else "") or "Result"


def _value(value: Value) -> str:
    if value.number is not None:
        return clean(f"{value.comparator or ''}{value.number} {value.unit or ''}")
    coded = (value.code.display or value.code.code) if value.code else None
    return clean(value.text or coded or "")


def _file(file: Attachment) -> str:
    size = f", {file.size} bytes" if file.size is not None else ""
    return clean(f"{file.title or 'Untitled'} ({file.media_type}{size})")


def _coding(coding: Coding | None) -> dict[str, Any] | None:
    if coding is None or not (coding.code or coding.display):
        return None
    return {"system": coding.system, "code": coding.code, "display": coding.display}


def _short(text: str) -> str:
    line = " ".join(clean(text).split())
    return line if len(line) <= SUMMARY_CHARACTERS else line[: SUMMARY_CHARACTERS - 1] + "…"


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
