"""The rules of the lens as values, and which of them look at a statement."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from services.normalizer.mappings.tables import load_table
from services.normalizer.registry.keys import fold
from shared.canonical.elements import Coding

About = Literal["allergy", "diet", "drug", "result"]
LOINC = "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
_TABLE = load_table("diet_lens")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what it looks at, when it speaks, and why."""

    id: str
    about: About
    name: str  # what people call it
    why: str  # one sentence for the dietician
    source: str  # where to read about it
    fires: frozenset[str]
    kinds: frozenset[str] = frozenset()
    codes: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    words: tuple[frozenset[str], ...] = ()
    unless: frozenset[str] = frozenset()
    ratio: Decimal | None = None


def _rule(row: dict[str, Any]) -> Rule:
    return Rule(
        id=row["id"],
        about=row["about"],
        name=row["name"],
        why=row["why"],
        source=row["source"],
        fires=frozenset(row["fires"]),
        kinds=frozenset(row.get("kinds", ())),
        codes=frozenset(row.get("loinc", ())) | frozenset(row.get("rxnorm", ())),
        names=frozenset(map(fold, row.get("names", ()))),
        words=tuple(frozenset(one.split()) for one in row.get("words", ())),
        unless=frozenset(row.get("unless", ())),
        ratio=Decimal(row["ratio"]) if "ratio" in row else None,
    )


RULES: dict[str, Rule] = {row["id"]: _rule(row) for row in _TABLE["rules"]}
INTERPRETATIONS: dict[str, str] = _TABLE["interpretations"]
STATUSES: dict[str, dict[str, str]] = _TABLE["statuses"]

_BY_KIND = {kind: one for one in RULES.values() for kind in one.kinds}
_BY_LOINC = {code: one for one in RULES.values() if one.about == "result" for code in one.codes}
_BY_NAME = {name: one for one in RULES.values() if one.about == "result" for name in one.names}
_DRUGS = tuple(one for one in RULES.values() if one.about == "drug")
_BY_RXNORM = {code: one for one in _DRUGS for code in one.codes}
_DRUG_WORDS = frozenset(word for one in _DRUGS for phrase in one.words for word in phrase)


def preference_rule(kind: str) -> Rule | None:
    """The rule for a kind of dietary preference."""
    return _BY_KIND.get(kind)


def result_rule(code: Coding | None) -> Rule | None:
    """The rule for a result: by LOINC, else by its name where no LOINC code says what it is."""
    codings = list(codings_of(code))
    loinc = [one.code for one in codings if one.system == LOINC and one.code]
    if loinc:
        return next((_BY_LOINC[one] for one in loinc if one in _BY_LOINC), None)
    return next((_BY_NAME[name] for one in codings if one.display and (name := fold(one.display)) in _BY_NAME), None)


def drug_rules(code: Coding | None, text: str | None) -> list[Rule]:
    """The rules for a medication, by ingredient and by the words of its names; a product of two drugs may have two."""
    codings = list(codings_of(code))
    found = {one.id: one for coding in codings if coding.system == RXNORM and (one := _BY_RXNORM.get(coding.code or ""))}
    said = {word for name in {text, *(one.display for one in codings)} if name for word in fold(name).split()}
    if said & _DRUG_WORDS:
        for rule in _DRUGS:
            if any(phrase <= said for phrase in rule.words):
                found[rule.id] = rule
    return [one for one in found.values() if not said & one.unless]


def codings_of(code: Coding | None) -> Iterator[Coding]:
    """A coding and its translations."""
    if code is not None:
        yield code
        yield from code.translations
