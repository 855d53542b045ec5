"""What one source says that the lens looks at: a few small values, kept beside the statement that they come from."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Literal

import msgspec

from services.normalizer.lens.ranges import WITHIN, decimal_of, side_of, unit_of
from services.normalizer.lens.rules import STATUSES, About, Rule, codings_of, drug_rules, preference_rule, result_rule
from services.normalizer.registry.keys import fold
from services.normalizer.times import sortable_time
from shared.canonical.elements import Coding, Result
from shared.canonical.reading import PatientReading

State = Literal["holds", "listed", "ended", "measured"]
_ALLERGY = re.compile(
    r"^(?:allerg(?:y|ic)|intoleran(?:ce|t)) to | (?:allergy|intolerance)$"
)  # one sender codes the finding, another the food
SAID = 120  # characters kept of what a source calls a thing


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One fact for one rule. `path` leads to it inside its source."""

    rule: str
    path: str
    state: State
    keys: tuple[str, ...] = ()  # of what people must not eat, or of a diet: every code and the words
    said: str | None = None  # in the source's words
    ended: str | None = None  # why it holds no longer
    side: str | None = None  # of a result: within, above, below …
    number: str | None = None  # of a result that can be compared: the written digits
    unit: str | None = None
    at: str | None = None  # of a result: when, sortable
    date: str | None = None  # of a result: when, as written


class Sight(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that the lens sees in one source."""

    findings: tuple[Finding, ...] = ()
    spoken_of: tuple[About, ...] = ()  # of what kinds the source says anything, whether or not a rule looks at it

    @property
    def notable(self) -> frozenset[str]:
        """The rules that this source by itself has something for: a fact that holds or has ended, a result outside its range."""
        return frozenset(one.rule for one in self.findings if one.state != "measured" or one.side not in (None, WITHIN))


NOTHING = Sight()
SIGHT = msgspec.json.Decoder(Sight)


class _Content(msgspec.Struct):
    results: list[Result] = []


class _Document(msgspec.Struct):
    """What the lens reads of a document."""

    content: _Content
    date: str | None = None


_DOCUMENT = msgspec.json.Decoder(_Document)
_SPOKEN_OF: dict[str, About] = {"medication": "drug", "allergy": "allergy"}


def look(reading: PatientReading, document: bytes | None) -> Sight:
    """What a statement says: its diet and medications, and the results of the document (canonical JSON) that made it."""
    found = [*_preferences(reading), *_drugs(reading)]
    if document is not None:
        seen = _DOCUMENT.decode(document)
        found += _newest(_results(seen.content.results, seen.date))
    kinds = {_SPOKEN_OF[one.kind] for one in reading.medical_history if one.kind in _SPOKEN_OF}
    kinds |= {rule.about for one in reading.dietary_preferences if (rule := preference_rule(one.kind))}
    return Sight(tuple(found), tuple(sorted(kinds)))


def _preferences(reading: PatientReading) -> Iterator[Finding]:
    for index, one in enumerate(reading.dietary_preferences):
        rule = preference_rule(one.kind)
        if rule is not None:
            yield from _fact(rule, f"dietary_preferences[{index}]", one.code, one.text, one.status, is_negated=one.negated)


def _drugs(reading: PatientReading) -> Iterator[Finding]:
    for index, one in enumerate(reading.medical_history):
        if one.kind == "medication":
            for rule in drug_rules(one.code, one.text):
                yield from _fact(rule, f"medical_history[{index}]", one.code, one.text, one.status, is_negated=one.negated)


def _fact(rule: Rule, path: str, code: Coding | None, text: str | None, status: str | None, *, is_negated: bool) -> Iterator[Finding]:
    """A fact as its status leaves it: it holds, is on a list, or has ended; a denial ends it, a plan says nothing yet."""
    meant = STATUSES[rule.about].get(status or "")
    said = text or next((one.display for one in codings_of(code) if one.display), None) or (code.code if code else None)
    if meant == "planned" or said is None:
        return
    keys = () if rule.about == "drug" else _keys(code, text)
    short = " ".join(said.split())[:SAID]
    if is_negated or meant not in (None, "listed"):
        yield Finding(rule.id, path, "ended", keys, short, meant if meant not in (None, "listed") else "refuted")
    else:
        yield Finding(rule.id, path, "listed" if meant else "holds", keys, short)


def _keys(code: Coding | None, text: str | None) -> tuple[str, ...]:
    """Everything by which another source may name the same thing."""
    codings = list(codings_of(code))
    names = [_ALLERGY.sub("", folded) for one in (text, *(one.display for one in codings)) if one and (folded := fold(one))]
    coded = [f"{one.system or ''}|{one.code}" for one in codings if one.code]
    return tuple(dict.fromkeys([*coded, *(f"text|{one}" for one in names)]))


def _results(results: Sequence[Result], document_date: str | None) -> Iterator[Finding]:
    for index, one in enumerate(results):
        rule = result_rule(one.code)
        if rule is None or one.status == "cancelled":
            continue
        side, number = side_of(one), decimal_of(one.value)
        if side is None and number is None:
            continue
        written = f"{one.value.comparator or ''}{one.value.number}" if one.value.number is not None else one.value.text
        said = " ".join(part for part in (written, one.value.unit) if part)[:SAID] or None
        date = one.effective or document_date
        yield Finding(
            rule.id,
            f"results[{index}]",
            "measured",
            said=said,
            side=side,
            number=None if number is None else one.value.number,
            unit=unit_of(one.value),
            at=_moment(date),
            date=date,
        )


def _newest(found: Iterable[Finding]) -> list[Finding]:
    """Of several results for one rule and unit the newest; of equally new ones the first."""
    newest: dict[tuple[str, str | None], Finding] = {}
    for one in found:
        known = newest.get((one.rule, one.unit))
        if known is None or (one.at or "") > (known.at or ""):
            newest[one.rule, one.unit] = one
    return list(newest.values())


@lru_cache(maxsize=256)  # the results of a report share theirs
def _moment(date: str | None) -> str | None:
    """When, as sortable text; a time without a zone counts as UTC, a day as its first moment. None when it cannot be told."""
    text = sortable_time(date, "UTC")
    return None if text.startswith("00000000") else text
