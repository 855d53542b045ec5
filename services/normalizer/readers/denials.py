"""What stands where an allergen or a fact should stand and says that there is none, or that nobody knows: whatever the format."""

from collections.abc import Iterable

from services.normalizer.mappings.tables import load_table
from shared.canonical.elements import Coding

ANY = "any"
MAX_WORDS = 60  # characters; more is no bare denial
_TABLE = load_table("denials")
_ALLERGIES: dict[str, str] = _TABLE["allergies"]
_ALLERGY_WORDS: dict[str, str] = _TABLE["allergy_words"]
_CODES = frozenset((*_ALLERGIES, *_TABLE["history"]))
_UNKNOWN = frozenset(_TABLE["no_information"])


def denied_allergy(codings: Iterable[Coding], text: str | None = None) -> str | None:
    """Of what there is no allergy: food, medication, environment, or `any`; None when the codes and words deny nothing."""
    said = [text]
    for one in codings:
        for coding in (one, *one.translations):
            if coding.code in _ALLERGIES:
                return _ALLERGIES[coding.code]
            said += [coding.display, coding.code]
    return next((_ALLERGY_WORDS[plain] for one in said if one and (plain := _plain(one)) in _ALLERGY_WORDS), None)


def denies(coding: Coding | None, *words: str | None) -> bool:
    """Whether the code or one of the wordings as a whole says that there is none ("no known …")."""
    return any(one in _CODES for one in _codes(coding)) or any(_plain(one) in _TABLE["history_words"] for one in words if one)


def is_unknown_allergen(coding: Coding | None, *words: str | None) -> bool:
    """Whether the code or the words say that nobody knows of allergies."""
    return _is_unknown(coding) or any(_plain(one) in _TABLE["allergy_no_information_words"] for one in words if one)


def knows_nothing(coding: Coding | None, *words: str | None) -> bool:
    """Whether it is said that nobody knows: by a code, or by words where nothing is coded."""
    return _is_unknown(coding) or (coding is None and any(_plain(one) in _TABLE["history_no_information_words"] for one in words if one))


def _is_unknown(coding: Coding | None) -> bool:
    return any(one in _UNKNOWN for one in _codes(coding))


def _codes(coding: Coding | None) -> list[str]:
    return [one.code for one in (coding, *coding.translations) if one.code] if coding else []


def _plain(text: str) -> str:
    return " ".join(text.lower().rstrip(".!").split()) if len(text) <= MAX_WORDS else ""
