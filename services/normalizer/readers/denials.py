"""What stands where an allergen should stand and says that there is none, or that nobody knows: whatever the format."""

from collections.abc import Iterable

from services.normalizer.mappings.tables import load_table
from shared.canonical.elements import Coding

CODES: dict[str, str] = load_table("denials")["codes"]
WORDS: dict[str, str] = load_table("denials")["words"]
NO_INFORMATION = frozenset(load_table("denials")["no_information"])
ANY = "any"


def denied(codings: Iterable[Coding], text: str | None = None) -> str | None:
    """Of what there is none: food, medication, environment, or `any`; None when the codes and words deny nothing."""
    said = [text]
    for one in codings:
        for coding in (one, *one.translations):
            if coding.code in CODES:
                return CODES[coding.code]
            said += [coding.display, coding.code]
    return next((WORDS[plain] for one in said if one and (plain := _plain(one)) in WORDS), None)


def says_nothing(text: str | None) -> bool:
    """Whether the words say that nobody knows."""
    return text is not None and _plain(text) in NO_INFORMATION


def _plain(text: str) -> str:
    return " ".join(text.lower().rstrip(".!").split()) if len(text) <= 60 else ""
