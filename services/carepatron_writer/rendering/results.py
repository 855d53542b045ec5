"""Results as tables: grouped by panel, the columns that have something to say, flags in words."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from services.carepatron_writer.rendering.summary import CRITICAL
from services.carepatron_writer.rendering.words import clean, folded, name_of, shown_value, time_in_words
from shared.canonical.elements import Result

# HL7 table 0078, https://terminology.hl7.org/CodeSystem-v3-ObservationInterpretation.html
FLAGS = {
    "H": "high",
    "HH": "critically high",
    "HU": "significantly high",
    "L": "low",
    "LL": "critically low",
    "LU": "significantly low",
    "N": "normal",
    "A": "abnormal",
    "AA": "critically abnormal",
    "<": "below the scale",
    ">": "above the scale",
    "POS": "positive",
    "NEG": "negative",
    "DET": "detected",
    "ND": "not detected",
    "R": "resistant",
    "S": "susceptible",
    "I": "intermediate",
    "U": "significant change up",
    "D": "significant change down",
    "B": "better",
    "W": "worse",
}
REMARKABLE = frozenset({"H", "L", "A", "<", ">", "POS", "DET", "R"})
_WORDS = re.compile(r"[^\s:()\[\],;]+")
_AFTER_NAME = re.compile(": ")
_MAX_COMPARED = 200  # results of one name with which a line is compared; a line too many is shown twice
_FILLERS = frozenset({"reference", "no", "value"})  # of a readable line beside what the row says


@dataclass(frozen=True, slots=True)
class Row:
    """One result."""

    cells: tuple[str, ...]
    tone: str  # plain, remarkable, critical
    is_cancelled: bool


@dataclass(frozen=True, slots=True)
class ResultTable:
    """The results of one panel. `time` is of all of them, else it is a column."""

    group: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    time: str


_COLUMNS: tuple[tuple[str, Callable[[Result], str]], ...] = (
    ("Test", name_of),
    ("Value", lambda one: shown_value(one.value)),
    ("Range", lambda one: clean(one.reference_range or "")),
    ("Flag", lambda one: flag_of(one.interpretation)),
    ("Status", lambda one: one.status if one.status not in ("final", "unknown") else ""),
    ("Time", lambda one: time_in_words(one.effective)),
)
_ALWAYS = ("Test", "Value")


def tables_of(results: Sequence[Result]) -> list[ResultTable]:
    """One table for each run of results of one panel, in their order."""
    return [_table(group, list(some)) for group, some in groupby(results, key=lambda one: clean(one.group or ""))]


def flag_of(interpretation: str | None) -> str:
    """A flag as sent, with its meaning where the table has one."""
    flag = clean(interpretation or "")
    meaning = FLAGS.get(flag.upper())
    return f"{flag} {meaning}" if meaning else flag


def says_again(results: Sequence[Result]) -> Callable[[str], bool]:
    """Whether a line only repeats one of the results: it begins with its name, and each of its words stands in its row."""
    rows: dict[str, list[set[str]]] = {}
    for one in results:
        cells = (name_of(one), shown_value(one.value), one.reference_range, one.interpretation, one.status, one.effective)
        words = {word for cell in cells for word in _WORDS.findall(folded(cell or ""))}
        of_name = rows.setdefault(folded(name_of(one)), [])
        if len(of_name) < _MAX_COMPARED:
            of_name.append(words | ({"reference"} if shown_value(one.value) != "no value" else _FILLERS))
    longest = max(map(len, rows), default=0)

    def says(line: str) -> bool:
        whole = folded(line)
        ends = [found.start() for found in _AFTER_NAME.finditer(whole, 0, longest + 2)]
        names = [whole[:end] for end in ends if whole[:end] in rows]
        words = set(_WORDS.findall(whole)) if names else set()
        return any(words <= known for name in names for known in rows[name])

    return says


def _table(group: str, results: list[Result]) -> ResultTable:
    times = {time_in_words(one.effective) for one in results}
    is_one_time = len(times) == 1
    columns = [
        (title, cell) for title, cell in _COLUMNS if title in _ALWAYS or (any(map(cell, results)) and not (title == "Time" and is_one_time))
    ]
    rows = [Row(tuple(cell(one) for _, cell in columns), _tone(one), one.status == "cancelled") for one in results]
    return ResultTable(group, tuple(title for title, _ in columns), tuple(rows), times.pop() if is_one_time else "")


def _tone(result: Result) -> str:
    flag = (result.interpretation or "").upper()
    if result.status == "cancelled":
        return "plain"
    return "critical" if flag in CRITICAL else "remarkable" if flag in REMARKABLE else "plain"
