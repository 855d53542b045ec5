"""Escape sequences of HL7 v2 (HL7 v2.8, chapter 2.7), decoded after a message is split, for each component."""

import re
from functools import lru_cache

from shared.formats.hl7v2_separators import Separators

FORMATTING = {"br": "\n", "sp": "\n", "ce": "\n", "in": "", "ti": "", "fi": "", "nf": "", "sk": " "}
FORMAT_COMMAND = re.compile(r"\.(br|sp|in|ti|fi|nf|ce|sk)\s*([+-]?\d{0,9})", re.IGNORECASE)


def unescape(text: str, separators: Separators) -> str:
    """Escape sequences of 2.7 decoded; unknown ones are left out, unfinished ones stay as written."""
    escape = separators.escape
    if not escape or escape not in text:
        return text
    pieces = text.split(escape)
    out = [pieces[0]]
    index = 1
    while index < len(pieces):
        if index == len(pieces) - 1:  # no closing character
            out.append(escape + pieces[index])
            break
        decoded = _sequence(pieces[index], separators)
        if decoded is None:  # a stray escape character in plain text
            out.append(escape + pieces[index])
            index += 1
            continue
        out.append(decoded)
        out.append(pieces[index + 1])
        index += 2
    return "".join(out)


@lru_cache(maxsize=1024)
def _sequence(code: str, separators: Separators) -> str | None:
    """What stands for a sequence; None when it is none."""
    named = {
        "F": separators.field,
        "S": separators.component,
        "T": separators.subcomponent,
        "R": separators.repetition,
        "E": separators.escape,
        "P": "#",
        "H": "",
        "N": "",
    }
    if code in named:
        return named[code]
    if command := FORMAT_COMMAND.fullmatch(code):
        name = command[1].lower()
        if name in ("sp", "sk") and command[2].lstrip("+-").isdigit():
            return FORMATTING[name] * min(int(command[2].lstrip("+-")), 10)
        return FORMATTING[name]
    if code[:1] == "X" and len(code) > 1 and re.fullmatch(r"[0-9A-Fa-f]+", code[1:]) and len(code) % 2 == 1:
        raw = bytes.fromhex(code[1:])
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
        return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    if code[:1] in ("C", "M", "Z") and len(code) <= 16 and " " not in code:  # character set switches and local ones
        return ""
    return None
