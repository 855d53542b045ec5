"""The separators of an HL7 v2 message, as MSH-1 and MSH-2 declare them (HL7 v2.8, chapter 2.5.4) and as senders spoil them."""

import re
from typing import NamedTuple

from shared.formats.hl7v2_text import LINES

MESSAGE_TYPE = re.compile(r"[A-Za-z]{3}([^A-Za-z0-9\s_-])[A-Za-z0-9]{3}")  # MSH-9 tells the component separator, whatever MSH-2 says


class Separators(NamedTuple):
    """The message's own: field, component, repetition, escape (may be missing), subcomponent."""

    field: str
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"


USUAL = Separators("|")


def read_separators(text: str, warnings: list[str]) -> Separators | None:
    """From MSH-1 and MSH-2, with the ways in which senders spoil them."""
    if text.startswith("|^~\\&|", 3):
        return USUAL
    field = text[3:4]
    if not field or field.isalnum() or field.isspace():
        return None
    written = LINES.split(text[4:64], maxsplit=1)[0].split(field, 1)
    if len(written) == 1 and len(written[0]) > 8:
        return None
    encoding = "".join(dict.fromkeys(written[0]))  # `^~\\&` doubled, `&&&&`
    typed = LINES.split(text[:2048], maxsplit=1)[0].split(field)
    meant = MESSAGE_TYPE.match(typed[8]) if len(typed) > 8 else None
    if meant is not None and encoding and encoding[0] != meant[1] and not encoding[0].isalnum():
        warnings.append("separators_contradicted")
        return Separators(field, meant[1])
    if encoding != written[0]:
        warnings.append("separators_repeated")
    if not encoding or any(one.isalnum() or one.isspace() for one in encoding):
        return None if written[0] else Separators(field)
    if len(encoding) == 1 or field in encoding:
        warnings.append("separators_incomplete")
        return Separators(field, encoding if encoding not in ("&", field) else "^")
    if len(encoding) == 3 and encoding[2] == "&":  # the backslash was lost on the way
        warnings.append("escape_character_missing")
        return Separators(field, encoding[0], encoding[1], "", "&")
    defaults = "^~\\&"
    chosen = encoding[:4] + defaults[len(encoding[:4]) :]
    return Separators(field, chosen[0], chosen[1], chosen[2], chosen[3])
