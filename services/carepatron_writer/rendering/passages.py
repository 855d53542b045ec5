"""The text of a section as blocks for a page: lines with their indents, lists, tables, aligned text. No word is dropped."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAX_COLUMNS = 10
MAX_INDENT = 6
TAB = 8
_MARK = re.compile(r"( *)([-*•·‣◦▪○●]|\d{1,2}[.)]|[a-zA-Z]\))[ \t]+(?=\S)")
_CROSSINGS = re.compile(r"[\s|:+]+")
_ALIGNED = re.compile(r"\S {2,}\S")
_BAR = re.compile(r"(?<!\S)\|(?!\S)")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text; the empty one is a pause."""

    text: str
    indent: int = 0
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Lines:
    """Running text."""

    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells. A row of one cell spans all columns."""

    rows: tuple[tuple[str, ...], ...]
    has_header: bool

    @property
    def columns(self) -> int:
        """Of the widest row."""
        return max(map(len, self.rows))


@dataclass(frozen=True, slots=True)
class Aligned:
    """Text whose spaces mean something."""

    lines: tuple[str, ...]


Block = Lines | Table | Aligned


def blocks_of(text: str) -> list[Block]:
    """The blocks of a cleaned text, in order."""
    blocks: list[Block] = []
    for kind, lines in _runs([line.expandtabs(TAB).rstrip() for line in text.splitlines()]):
        if kind == "table" and (table := _table(lines)) is not None:
            blocks.append(table)
        elif kind == "lines":
            blocks.append(Lines(tuple(map(_line, lines))))
        else:
            blocks.append(Aligned(tuple(lines)))
    return blocks


def _runs(lines: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Runs of lines of one kind. A line without bars inside a table is a row of it: its cells on the right were empty."""
    kinds = ["table" if _is_row(line) else "aligned" if _ALIGNED.search(line.strip()) else "lines" for line in lines]
    for at in range(1, len(lines) - 1):
        if kinds[at - 1] == "table" and kinds[at] != "table" and lines[at].strip() and kinds[at + 1] == "table":
            kinds[at] = "table"
    for at, kind in enumerate(kinds):  # one line with a wide gap is a line
        if kind == "aligned" and "aligned" not in (kinds[at - 1 : at] + kinds[at + 1 : at + 2]):
            kinds[at] = "lines"
    start = 0
    for at in range(1, len(lines) + 1):
        if at == len(lines) or kinds[at] != kinds[start]:
            yield kinds[start], list(lines[start:at])
            start = at


def _is_row(line: str) -> bool:
    return len(_cells(line)) > 1


def _is_rule(line: str) -> bool:
    """Whether it is a line drawn between rows; a short mark is a word."""
    strokes = [one for one in _CROSSINGS.split(line) if one]
    return bool(strokes) and all(len(one) > 2 and set(one) <= set("-=_") for one in strokes)


def _cells(line: str) -> list[str]:
    if "|" not in line:
        return [line.strip()]
    if _is_rule(line):
        return ["", ""]
    return [cell.strip() for cell in _BAR.split(line.strip().removeprefix("|").removesuffix("|").strip())]


def _table(lines: Sequence[str]) -> Table | None:
    """The rows; None when they are too wide for a page. Lines drawn between rows are no rows, the first of them ends the header."""
    is_ruled = len(lines) > 2 and _is_rule(lines[1])
    rows = [tuple(_cells(line)) for line in lines if not _is_rule(line)]
    if not rows or max(map(len, rows)) > MAX_COLUMNS:
        return None
    columns = max(map(len, rows))
    head = rows[0]
    looks_like_header = len(rows) > 1 and len(head) == columns and all(head) and not any(one.isdigit() for cell in head for one in cell)
    filled = tuple(row if len(row) == 1 else row + ("",) * (columns - len(row)) for row in rows)
    return Table(filled, is_ruled or looks_like_header)


def _line(text: str) -> Line:
    indent = len(text) - len(text.lstrip(" "))
    mark = _MARK.match(text)
    if mark is None:
        return Line(text.strip(), min(MAX_INDENT, indent // 2))
    return Line(text[mark.end() :].strip(), min(MAX_INDENT, len(mark[1]) // 2), "•" if mark[2] in "-*•·‣◦▪○●" else mark[2])
