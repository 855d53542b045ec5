"""What makes two statements speak of the same thing."""

import re
import unicodedata

from shared.canonical.elements import Coding

_MARKS = re.compile(r"[^\w\s]|_")


def element_key(code: Coding | None, text: str | None) -> str:
    """What makes two coded statements speak of the same thing: the code, else the folded text."""
    if code and code.code:
        return f"{code.system or ''}|{code.code}"
    display = text or (code.display if code else None) or ""
    return "text|" + fold(display)


def fold(text: str) -> str:
    """Text for comparison: compatibility form, no case, no accents, no punctuation, single spaces."""
    if text.isascii():
        return " ".join(_MARKS.sub(" ", text.lower()).split())
    plain = unicodedata.normalize("NFKD", text).casefold()
    return " ".join(_MARKS.sub(" ", "".join(c for c in plain if not unicodedata.combining(c))).split())
