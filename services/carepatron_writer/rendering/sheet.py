"""A document as a sheet: plain data for the template, in the order in which a dietician reads, and no more than a reader bears."""

import re
from collections.abc import Iterator, Mapping, Sequence
from math import sqrt
from typing import Any

from services.carepatron_writer.rendering.characters import Characters, breakable, is_right_to_left
from services.carepatron_writer.rendering.originals import Original, text_in
from services.carepatron_writer.rendering.passages import Aligned, Block, Line, Lines, Table, blocks_of
from services.carepatron_writer.rendering.results import ResultTable, Row, says_again, tables_of
from services.carepatron_writer.rendering.summary import abnormal_lines, dietary_passages
from services.carepatron_writer.rendering.words import clean, folded, kind_of, time_in_words, title_of, unsaid
from shared.canonical.models import HealthcareDocument

MAX_CHARACTERS = 300_000
MAX_LINES = 6_000  # of text and of results: some 120 pages
FULL_TEXT = "full-text.txt"
WORD, CELL_WORD = 60, 24  # characters of a word that are kept together, in a line and in a cell
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

    def _takes(self, characters: int) -> bool:
        if characters > self._characters or self._lines < 1:
            self.is_cut = True
            return False
        self._characters -= characters
        self._lines -= 1
        return True


def sheet_of(document: HealthcareDocument, originals: Sequence[Original]) -> tuple[Sheet, bool]:
    """The sheet without its files, and whether something was cut off at its end."""
    room = _Room()
    parts = list(_parts(document, originals, room))
    heading, kind, date = title_of(document), kind_of(document), time_in_words(document.date)
    source = clean(document.source.organization or document.source.system or "")
    facts = [("Date", date), ("Status", document.status), ("Author", ", ".join(map(clean, document.authors))), ("From", source)]
    tone, status, meaning = BANNERS.get(document.status, ("", "", ""))
    banners = [{"tone": tone, "title": status, "text": meaning}] if tone else []
    if room.is_cut:
        cut = f"This document is longer than what is shown here. All of its text is in the attached file {FULL_TEXT}."
        banners.append({"tone": "remarkable", "title": "Cut.", "text": cut})
    sheet = {
        "title": heading,
        "kind": kind,
        "headline": heading if len(heading) <= 80 else f"{heading[:79]}…",
        "subline": " · ".join(one for one in (kind, date[:10], document.status if tone else "") if one),
        "facts": [[name, _cell(value)] for name, value in facts if value],
        "banners": banners,
        "diet": [{"title": title, "blocks": list(map(_block, blocks_of(text)))} for title, text in dietary_passages(document)],
        "abnormal": [_cell(one) for one in abnormal_lines(document)],
        "parts": parts,
        "ending": "The text was cut here." if room.is_cut else "",
        "footer": f"Rendered by healthcare-records from {source or 'its source'} · document {document.id}",
    }
    return sheet, room.is_cut


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
        return {name: showable(one, characters, CELL_WORD if name in ("rows", "cells") else width) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [showable(one, characters, width) for one in value]
    return value


def _parts(document: HealthcareDocument, originals: Sequence[Original], room: _Room) -> Iterator[dict[str, Any]]:
    """Sections with the results of their panel, the other results, text that is not yet said, text of files."""
    content = document.content
    again = says_again(content.results)
    tables = tables_of(content.results)
    for section in content.sections:
        title, text = clean(section.title or section.code or "Section"), clean(section.text or "")
        own = [one for one in tables if one.group and folded(one.group) in (folded(section.code or ""), folded(section.title or ""))]
        tables = [one for one in tables if one not in own]
        blocks = [_results(room.rows(one), "") for one in own]
        text = unsaid(text, (), again) if own else text
        blocks += [_block(one) for one in blocks_of(room.text(text))]
        yield {"title": title, "blocks": blocks}
    if tables:
        blocks = [_results(room.rows(one), one.group) for one in tables]
        yield {"title": "Results", "blocks": [one for one in blocks if one["rows"]]}
    titles = [one.title or one.code or "" for one in content.sections]
    said = [*titles, *(one.text or "" for one in content.sections)]
    text = clean(content.text or "")
    if left := unsaid(text, said, again):
        yield {"title": "Also in the document" if content.sections or content.results else "", "blocks": _text_blocks(left, room)}
    for one in originals:
        if one.data is not None and one.media_type == "text/plain" and (left := unsaid(text_in(one.data, one.media_type), (*said, text))):
            yield {"title": clean(one.attachment.title or "") or one.name, "blocks": _text_blocks(left, room)}


def _text_blocks(text: str, room: _Room) -> list[dict[str, Any]]:
    return [_block(one) for one in blocks_of(room.text(text))]


def _block(block: Block) -> dict[str, Any]:
    match block:
        case Lines(lines):
            return {"kind": "lines", "lines": [_line(one) for one in lines]}
        case Aligned(lines):
            longest = max(map(len, lines))
            return {"kind": "aligned", "size": max(6.0, min(8.5, 780 / max(1, longest))), "lines": lines}
        case Table(rows, has_header):
            cells = [[_cell(one) for one in row] for row in rows]
            return {"kind": "table", "header": has_header, "widths": _widths(rows, block.columns), "rows": cells}


def _results(table: ResultTable, group: str) -> dict[str, Any]:
    time = f"Taken {table.time}" if table.time else ""
    return {
        "kind": "results",
        "caption": " · ".join(one for one in (f"Panel {group}" if PANEL_CODE.fullmatch(group) else group, time) if one),
        "columns": table.columns,
        "flag": table.columns.index("Flag") if "Flag" in table.columns else -1,
        "widths": _widths([table.columns, *(one.cells for one in table.rows)], len(table.columns)),
        "rows": [{"cells": [_cell(c) for c in one.cells], "tone": one.tone, "cancelled": one.is_cancelled} for one in table.rows],
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
