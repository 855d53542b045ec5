"""Pieces of a document in words: clean text, titles, names and values of results, times."""

import re
from collections.abc import Callable, Iterable

from shared.canonical.elements import Attachment, Coding, Result, Value
from shared.canonical.models import HealthcareDocument

LINE_CHARACTERS = 240  # of a title and of a line of the summary
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u2028\u2029\ud800-\udfff]")
_PARAGRAPH = re.compile(r"\n\s*\n")
_TIME = re.compile(r"(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)(Z|[+-]\d{2}:?\d{2})?")


def clean(text: str) -> str:
    """Text without control characters (tabs and line ends stay) and without space around it."""
    return _CONTROLS.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def short(text: str) -> str:
    """One line of a bearable length."""
    line = " ".join(clean(text).split())
    return line if len(line) <= LINE_CHARACTERS else line[: LINE_CHARACTERS - 1] + "…"


def folded(text: str) -> str:
    """Text as it is compared: no matter how it is broken into lines, or its case."""
    return " ".join(text.casefold().split())


def unsaid(text: str, passages: Iterable[str], says: Callable[[str], bool] = lambda _: False) -> str:
    """The lines of a text that stand in no passage, as a line or a paragraph, and of which `says` says no.

    A part of a line is no line: `allergic to nuts` is not said by `not allergic to nuts`.
    """
    said = {folded(one) for passage in passages for one in (passage, *passage.splitlines(), *_PARAGRAPH.split(passage))}
    left = []
    for paragraph in _PARAGRAPH.split(text):
        if folded(paragraph) not in said:
            lines = [line for line in paragraph.splitlines() if folded(line) not in said and not says(line)]
            left.append("\n".join(lines))
    return "\n\n".join(one for one in left if one.strip())


def title_of(document: HealthcareDocument) -> str:
    """The title, else the kind."""
    return short(document.title) or kind_of(document)


def kind_of(document: HealthcareDocument) -> str:
    """The type in words."""
    return str(document.type).replace("_", " ").capitalize()


def name_of(result: Result) -> str:
    """What was looked at."""
    return clean(_coded(result.code)) or "Result"


def value_of(value: Value) -> str:
    """A value with its unit; digits as written. Empty when there is none."""
    if value.number is not None:
        return clean(f"{value.comparator or ''}{value.number} {value.unit or ''}")
    said = value.text or _coded(value.code)
    return clean(f"{said} {value.unit or ''}") if said else ""


def shown_value(value: Value) -> str:
    """A value for the eye; why there is none, where the source says so."""
    said = value_of(value)
    if said and value.kind != "none":
        return said
    known = said or clean(value.unit or "")
    return f"no value ({known})" if known else "no value"


def size_of(file: Attachment) -> str:
    """The size in words, empty when it is not known."""
    if file.size is None:
        return ""
    for unit, bytes_ in (("MB", 1_000_000), ("KB", 1_000)):
        if file.size >= bytes_:
            return f"{file.size / bytes_:.1f} {unit}"
    return f"{file.size} bytes"


def time_in_words(written: str | None) -> str:
    """A time as written, easier to read: a space for the T and before the zone, no seconds where they are 00."""
    text = clean(written or "")
    parts = _TIME.fullmatch(text)
    if parts is None:
        return text
    clock = parts[2].removesuffix(":00") if len(parts[2]) == 8 else parts[2]
    zone = {"Z": "UTC"}.get(parts[3] or "", parts[3] or "")
    return f"{parts[1]} {clock} {zone}".strip()


def _coded(code: Coding | None) -> str:
    if code is None:
        return ""
    every = (code, *code.translations)
    return next((one.display for one in every if one.display), None) or next((one.code for one in every if one.code), None) or ""
