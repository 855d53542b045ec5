"""A document as a sheet: plain data for the template, in the order in which a dietician reads, and no more than a reader bears."""

import re
from collections.abc import Iterator, Mapping, Sequence
from math import sqrt
from typing import Any

from services.carepatron_writer.rendering.characters import STEP, Characters, breakable, is_right_to_left
from services.carepatron_writer.rendering.originals import Original, text_in
from services.carepatron_writer.rendering.passages import Aligned, Block, Line, Lines, Table, blocks_of
from services.carepatron_writer.rendering.results import ResultTable, Row, says_again, tables_of
from services.carepatron_writer.rendering.summary import abnormal_lines, dietary_passages
from services.carepatron_writer.rendering.words import clean, folded, kind_of, short, time_in_words, title_of, unsaid
from shared.canonical.models import HealthcareDocument

MAX_CHARACTERS = 300_000
MAX_LINES = 6_000  # of text and of results: some 120 pages
TAGGED_LINES = 400  # marks for screen readers make a document of so many lines some 200 KB larger
FULL_TEXT = "full-text.txt"
WORD = 40  # characters of the longest word that is never broken; in a table the columns share twice as many
TABLE_ROWS = 100  # laying out a table takes its rows squared
NARROW = 20  # characters of a column that takes what it needs
BANNERS = {
    "preliminary": ("remarkable", "Preliminary.", "This is not the final version; it may still change."),
    "superseded": ("remarkable", "Superseded.", "The source has put a newer version in the place of this one."),
    "withdrawn": ("critical", "Withdrawn.", "The source has taken this document back. Do not rely on it."),
}
PANEL_CODE = re.compile(r"[\d-]+")  # a name needs no word before it
Sheet = dict[str, Any]


class _Room:
    """What still fits."""

    def __init__(self) -> None:
        self._characters = MAX_CHARACTERS
        self._lines = MAX_LINES
        self.is_cut = False

    def text(self, text: str) -> str:
        """The lines of a text that fit."""
        lines = text.splitlines()
        kept: list[str] = []
        for line in lines:
            if not self._takes(len(line)):
                kept.append(line[: max(0, self._characters)]) if not kept and self._lines > 0 else None
                self._characters = 0
                break
            kept.append(line)
        return "\n".join(kept)

    def rows(self, table: ResultTable) -> ResultTable:
        """The rows of a table that fit."""
        kept: list[Row] = []
        for row in table.rows:
            if not self._takes(sum(map(len, row.cells))):
                break
            kept.append(row)
        return ResultTable(table.group, table.columns, tuple(kept), table.time)

    @property
    def lines_taken(self) -> int:
        """How many lines there are."""
        return MAX_LINES - self._lines

    def _takes(self, characters: int) -> bool:
        if characters > self._characters or self._lines < 1:
            self.is_cut = True
            return False
        self._characters -= characters
        self._lines -= 1
        return True


def sheet_of(document: HealthcareDocument, originals: Sequence[Original]) -> tuple[Sheet, bool, bool]:
    """The sheet without its files, whether something was cut off at its end, and whether marks for screen readers are affordable."""
    room = _Room()
    heading, kind, date = title_of(document), kind_of(document), time_in_words(document.date)
    source = short(document.source.organization or document.source.system or "")
    people = ", ".join(" ".join(clean(one).split()) for one in document.authors)
    facts = [
        (name, room.text(value)) for name, value in (("Date", date), ("Status", document.status), ("Author", people), ("From", source))
    ]
    parts = list(_parts(document, originals, room))
    tone, status, meaning = BANNERS.get(document.status, ("", "", ""))
    banners = [{"tone": tone, "title": status, "text": meaning}] if tone else []
    if room.is_cut:
        cut = f"This document is longer than what is shown here. All of its text is in the attached file {FULL_TEXT}."
        banners.append({"tone": "remarkable", "title": "Cut.", "text": cut})
    sheet = {
        "title": heading,
        "kind": kind,
        "headline": heading if len(heading) <= 80 else f"{heading[:79]}…",
        "subline": " · ".join(one for one in (kind, date[:10].strip(), document.status if tone else "") if one),
        "facts": [[name, _cell(value)] for name, value in facts if value],
        "banners": banners,
        "diet": [{"title": title, "blocks": _blocks(text)} for title, text in dietary_passages(document)],
        "abnormal": [_cell(one) for one in abnormal_lines(document)],
        "parts": parts,
        "ending": "The text was cut here." if room.is_cut else "",
        "footer": f"Rendered by healthcare-records from {source or 'its source'} · document {document.id}",
    }
    return sheet, room.is_cut, room.lines_taken <= TAGGED_LINES


def texts_in(value: object) -> Iterator[str]:
    """All text of a sheet."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from texts_in(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from texts_in(one)


def showable(value: Any, characters: Characters, width: int = WORD) -> Any:
    """The sheet in characters that can be shown, its longest words made breakable."""
    if isinstance(value, str):
        return breakable(characters.show(value), width)
    if isinstance(value, Mapping):
        width = max(STEP, 2 * WORD // len(value["widths"])) if "widths" in value else width
        return {name: showable(one, characters, width) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [showable(one, characters, width) for one in value]
    return value


def _parts(document: HealthcareDocument, originals: Sequence[Original], room: _Room) -> Iterator[dict[str, Any]]:
    """Sections with the results of their panel, the other results, text that is not yet said, text of files."""
    content = document.content
    again = says_again(content.results)
    tables = tables_of(content.results)
    for section in content.sections:
        title, text = _heading(section.title or section.code or "Section", section.text, room)
        own = [one for one in tables if one.group and folded(one.group) in (folded(section.code or ""), folded(section.title or ""))]
        tables = [one for one in tables if one not in own]
        blocks = [block for one in own for block in _results(room.rows(one), "")]
        text = unsaid(text, (), again) if own else text
        if title or blocks or text:
            yield {"title": title, "blocks": blocks + _blocks(room.text(text))}
    if tables:
        yield {"title": "Results", "blocks": [block for one in tables for block in _results(room.rows(one), one.group)]}
    titles = [one.title or one.code or "" for one in content.sections]
    said = [*titles, *(one.text or "" for one in content.sections)]
    text = clean(content.text or "")
    if left := unsaid(text, said, again):
        yield {"title": "Also in the document" if content.sections or content.results else "", "blocks": _blocks(room.text(left))}
    for one in originals:
        if one.data is not None and one.media_type == "text/plain" and (left := unsaid(text_in(one.data, one.media_type), (*said, text))):
            yield {"title": short(one.attachment.title or "") or one.name, "blocks": _blocks(room.text(left))}


def _heading(title: str, text: str | None, room: _Room) -> tuple[str, str]:
    """A title of a bearable length, and the text. What is too long for a title is text."""
    title, text = clean(title), clean(text or "")
    heading = short(title)
    return room.text(heading), text if folded(heading) == folded(title) else f"{title}\n\n{text}"


def _blocks(text: str) -> list[dict[str, Any]]:
    return [shown for block in blocks_of(text) for shown in _shown(block)]


def _shown(block: Block) -> Iterator[dict[str, Any]]:
    match block:
        case Lines(lines):
            yield {"kind": "lines", "lines": [_line(one) for one in lines]}
        case Aligned(lines):
            longest = max(map(len, lines))
            yield {"kind": "aligned", "size": max(6.0, min(8.5, 780 / max(1, longest))), "lines": lines}
        case Table(rows, has_header):
            cells, widths = [[_cell(one) for one in row] for row in rows], _widths(rows, block.columns)
            for at in range(0, len(rows), TABLE_ROWS):
                yield {"kind": "table", "header": has_header and at == 0, "widths": widths, "rows": cells[at : at + TABLE_ROWS]}


def _results(table: ResultTable, group: str) -> Iterator[dict[str, Any]]:
    panel = f"Panel {group}" if PANEL_CODE.fullmatch(group) else group
    caption = " · ".join(one for one in (panel, f"Taken {table.time}" if table.time else "") if one)
    rows = [{"cells": [_cell(c) for c in one.cells], "tone": one.tone, "cancelled": one.is_cancelled} for one in table.rows]
    widths = _widths([table.columns, *(one.cells for one in table.rows)], len(table.columns))
    for at in range(0, len(rows), TABLE_ROWS):
        yield {
            "kind": "results",
            "caption": caption if at == 0 else f"{caption} (continued)".strip(),
            "columns": table.columns,
            "flag": table.columns.index("Flag") if "Flag" in table.columns else -1,
            "widths": widths,
            "rows": rows[at : at + TABLE_ROWS],
        }


def _line(line: Line) -> dict[str, Any]:
    return {"text": line.text, "indent": line.indent, "mark": line.mark, "rtl": is_right_to_left(line.text)}


def _cell(text: str) -> str | dict[str, str]:
    """A short text; one that runs to the left is marked."""
    return {"rtl": text} if is_right_to_left(text) else text


def _widths(rows: Sequence[Sequence[str]], columns: int) -> list[float]:
    """0 for a column that takes what it needs, else its share of the rest."""
    widths: list[float] = []
    for column in range(columns):
        lengths = [len(row[column]) for row in rows if len(row) == columns]
        longest = max(lengths, default=0)
        widths.append(0 if longest <= NARROW else round(sqrt(sum(lengths) / len(lengths)) + sqrt(longest) / 2, 1))
    if not any(widths):  # all narrow: the last takes the rest, so that the table is as wide as the page
        widths[-1] = 1
    return widths
