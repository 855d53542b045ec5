"""What a dietician wants on top: diet and allergies in the document's own words, results outside their range, what changed."""

import re
from collections.abc import Iterable
from typing import Any

from services.carepatron_writer.rendering.words import LINE_CHARACTERS, clean, name_of, short, value_of
from shared.canonical.elements import NutritionChange, Section
from shared.canonical.models import HealthcareDocument

# LOINC sections that a dietician wants on top: allergies, diet and nutrition, discharge diet, nutrition assessment, intake
DIETARY_SECTIONS = frozenset({"48765-2", "61144-2", "42344-2", "75305-3", "61146-7"})
DIETARY_TITLES = re.compile(r"\b(allerg|diet|nutrition|food)", re.IGNORECASE)
# HL7 table 0078: outside the range or the expected
ABNORMAL = frozenset({"H", "HH", "HU", "L", "LL", "LU", "A", "AA", "<", ">", "POS", "DET", "R"})
CRITICAL = frozenset({"HH", "LL", "AA", "HU", "LU"})
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
_BULLET = re.compile(r"^[-*•] +")


def dietary_lines(document: HealthcareDocument) -> tuple[str, ...]:
    """What the document's own dietary sections say, line by line, in their words: a denial stays a denial."""
    lines: list[str] = []
    for one in dietary_sections(document):
        lines += [_BULLET.sub("", short(line)) for line in clean(one.text or "").splitlines() if line.strip()]
    return _first(lines)


def dietary_sections(document: HealthcareDocument) -> list[Section]:
    """The sections that are about diet or allergies, by code or by title."""
    return [one for one in document.content.sections if one.code in DIETARY_SECTIONS or DIETARY_TITLES.search(one.title or "")]


def abnormal_lines(document: HealthcareDocument) -> tuple[str, ...]:
    """Results that the source marks as abnormal and has not taken back; critical ones first."""
    results = [one for one in document.content.results if one.status != "cancelled"]
    marked = [one for one in results if (one.interpretation or "").upper() in ABNORMAL]
    marked.sort(key=lambda one: (one.interpretation or "").upper() not in CRITICAL)
    return _first(short(f"{name_of(one)} {value_of(one.value)} {one.interpretation}") for one in marked)


def dietary_passages(document: HealthcareDocument) -> list[tuple[str, str]]:
    """Titles and texts of the dietary sections, as many lines as the summary holds."""
    room, passages = SUMMARY_LINES, []
    for section in dietary_sections(document):
        lines = [line if len(line) <= LINE_CHARACTERS else short(line) for line in clean(section.text or "").splitlines() if line.strip()]
        if lines and room > 0:
            more = [f"… and {len(lines) - room + 1} more in the document"] if len(lines) > room else []
            passages.append((clean(section.title or section.code or ""), "\n".join([*lines[: room - len(more)], *more])))
        elif lines:
            passages.append((clean(section.title or section.code or ""), "… in the document"))
        room -= len(lines)
    return passages


def change_entry(change: NutritionChange) -> dict[str, Any]:
    """What changed for a dietician, as a client card shows it: what, why it matters, and where it stands."""
    happened = HAPPENED.get((change.change, change.reason)) or HAPPENED.get((change.change, "")) or f"{change.change} {change.reason}"
    said = f": {change.said}" if change.said else ""
    entry = {
        "rule": change.rule,
        "change": change.change,
        "reason": change.reason,
        "text": short(f"{change.name} {happened.replace('_', ' ')}{said}"),
        "why": clean(change.why),
        "date": change.date and clean(change.date),
        "sourceDocumentId": change.source_document_id,
        "path": change.path,
    }
    return {name: value for name, value in entry.items() if value}


def _first(lines: Iterable[str]) -> tuple[str, ...]:
    """So many lines as a summary holds; that there are more is said."""
    every = list(lines)
    if len(every) <= SUMMARY_LINES:
        return tuple(every)
    return (*every[: SUMMARY_LINES - 1], f"… and {len(every) - SUMMARY_LINES + 1} more in the document")
