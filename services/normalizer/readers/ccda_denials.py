"""Statements of history that say there is none, or that nobody knows, by their code or their words."""

from services.normalizer.mappings.tables import load_table
from services.normalizer.readers import denials
from shared.canonical.elements import Coding

_TABLE = load_table("ccda_denials")
_MAX_WORDS = 60  # characters; more is no bare denial


def denies(coding: Coding | None, *words: str | None) -> bool:
    """Whether the code or one of the wordings as a whole is a negation ("no known …")."""
    return any(_is_in("codes", one) or one in denials.CODES for one in _codes(coding)) or any(_says("words", one) for one in words)


def knows_nothing(coding: Coding | None, *words: str | None) -> bool:
    """Whether it is said that nobody knows: by a code, or by words where nothing is coded."""
    if any(_is_in("no_information", one) for one in _codes(coding)):
        return True
    return coding is None and any(_says("no_information_words", one) for one in words)


def _codes(coding: Coding | None) -> list[str]:
    return [one.code for one in (coding, *coding.translations) if one.code] if coding else []


def _says(table: str, words: str | None) -> bool:
    return words is not None and len(words) <= _MAX_WORDS and _is_in(table, " ".join(words.lower().rstrip(".!").split()))


def _is_in(table: str, key: str) -> bool:
    return key in _TABLE[table]
