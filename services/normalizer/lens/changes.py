"""What each source changed for those before it: a function of the set of sources, whatever the order in which they arrived."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from services.normalizer.lens.findings import Finding, Sight
from services.normalizer.lens.ranges import WITHIN
from services.normalizer.lens.rules import RULES, Rule

_STRENGTH = {"holds": 0, "listed": 1, "ended": 2}  # of several statements of one source about one thing the first counts
_CRITICAL = "critically_"


class Source(Protocol):
    """A statement about a patient, as far as the lens needs it."""

    @property
    def source_key(self) -> str:
        """Names the source."""

    @property
    def order(self) -> str:
        """Sorts sources in time; begins with the source's time."""

    @property
    def is_withdrawn(self) -> bool:
        """Whether it was taken back."""

    @property
    def document_id(self) -> str | None:
        """The document that said so, where there is one."""

    @property
    def sight(self) -> Sight:
        """What the lens sees in it."""


@dataclass(frozen=True, slots=True)
class LensMark:
    """That something changed for a dietician. Codes and a path only, never what the source says."""

    rule: str
    change: str  # appeared, ended, out_of_range, back_in_range, changed, not_compared
    reason: str
    document_id: str | None
    path: str  # inside the source, such as `results[3]`

    @property
    def code(self) -> str:
        """Rule and kind of change, for the log."""
        return f"{self.rule}:{self.change}"


@dataclass(slots=True)
class _Fact:
    """A thing that people must not eat, a diet or a drug, as it stands: holds, listed, ended, or not heard of."""

    state: str | None = None


@dataclass(slots=True)
class _Measure:
    """The newest result for a rule. `anchors` hold, by unit, the number that later ones are compared with."""

    at: str = ""
    side: str | None = None
    anchors: dict[str, Decimal] = field(default_factory=dict)


@dataclass(slots=True)
class Picture:
    """What is known of a patient, as the lens sees it; `take` moves it on."""

    _facts: dict[tuple[str, str], _Fact] = field(default_factory=dict)
    _measures: dict[str, _Measure] = field(default_factory=dict)
    _spoken_of: set[str] = field(default_factory=set)

    def take(self, source: Source) -> list[tuple[LensMark, Finding]]:
        """Add a source that is newer than all before it; what it changed, each with the finding that says so."""
        if source.is_withdrawn:
            return self._withdraw(source)
        changed = [*self._take_facts(source), *self._take_results(source)]
        self._spoken_of.update(source.sight.spoken_of)
        return changed

    def _withdraw(self, source: Source) -> list[tuple[LensMark, Finding]]:
        """What only a withdrawn source said holds no longer."""
        ended: dict[tuple[str, ...], tuple[LensMark, Finding]] = {}
        for one in source.sight.findings:
            known = self._known(one)
            if one.state in ("holds", "listed") and (known is None or known.state == "ended"):
                ended.setdefault((one.rule, *one.keys), (_mark(one, source, "ended", "withdrawn"), one))
        return list(ended.values())

    def _take_facts(self, source: Source) -> list[tuple[LensMark, Finding]]:
        strongest: dict[int, tuple[_Fact, Finding]] = {}
        for one in source.sight.findings:
            if one.state == "measured":
                continue
            fact = self._known(one) or _Fact()
            for key in one.keys or ("",):
                self._facts[one.rule, key] = fact
            before = strongest.get(id(fact))
            if before is None or _STRENGTH[one.state] < _STRENGTH[before[1].state]:
                strongest[id(fact)] = fact, one
        changed = []
        for fact, one in strongest.values():
            happened = self._happened(fact, one)
            if one.state != "listed" or fact.state is None:
                fact.state = one.state
            if happened and happened[0] in RULES[one.rule].fires:
                changed.append((_mark(one, source, *happened), one))
        return changed

    def _known(self, finding: Finding) -> _Fact | None:
        keys = finding.keys or ("",)
        return next((found for key in keys if (found := self._facts.get((finding.rule, key)))), None)

    def _happened(self, fact: _Fact, finding: Finding) -> tuple[str, str] | None:
        """Kind of change and reason; None when it is known already, or was never heard of and has ended."""
        if finding.state == "ended":
            return ("ended", finding.ended or "ended") if fact.state in ("holds", "listed") else None
        if fact.state in ("holds", "listed"):
            return None
        if finding.state == "listed":  # it may have ended long ago: of something that has ended it says nothing new
            return ("appeared", "listed") if fact.state is None else None
        if fact.state == "ended":
            return "appeared", "again"
        return "appeared", "new" if RULES[finding.rule].about in self._spoken_of else "first_known"

    def _take_results(self, source: Source) -> list[tuple[LensMark, Finding]]:
        by_rule: dict[str, list[Finding]] = {}
        for one in source.sight.findings:
            if one.state == "measured":
                by_rule.setdefault(one.rule, []).append(one)
        changed = []
        for rule, found in by_rule.items():
            measure = self._measures.setdefault(rule, _Measure())
            latest = _latest(found)
            at = latest[0].at or source.order.partition("|")[0]
            if at < measure.at:  # a summary that brings older results again
                continue
            chosen = next((one for one in latest if one.unit in measure.anchors), latest[0])
            for change, reason in _measured(RULES[rule], measure, chosen):
                changed.append((_mark(chosen, source, change, reason), chosen))
            measure.at = at
            if RULES[rule].ratio is not None:
                _anchor(measure, latest)
        return changed


def _measured(rule: Rule, measure: _Measure, one: Finding) -> list[tuple[str, str]]:
    """What a newer result changes; moves the picture of it on."""
    happened = [_sided(measure.side, one.side)]
    measure.side = one.side or measure.side
    if rule.ratio is not None and one.number is not None and one.unit is not None:
        number, anchor = Decimal(one.number), measure.anchors.get(one.unit)
        if anchor is None:
            happened.append(("not_compared", "unit_differs") if measure.anchors else None)
        elif abs(number - anchor) >= rule.ratio * abs(anchor) and number != anchor:
            happened.append(("changed", "rose" if number > anchor else "fell"))
            measure.anchors[one.unit] = number  # the next change counts from here; small steps add up until then
    return [one for one in happened if one and (one[0] in rule.fires or one[0] == "not_compared")]


def _latest(found: list[Finding]) -> list[Finding]:
    """Of one source's results for one rule the newest: several where it gives one in more than one unit."""
    if len(found) == 1:
        return found
    newest = max(one.at or "" for one in found)
    return [one for one in found if (one.at or "") == newest]


def _anchor(measure: _Measure, latest: list[Finding]) -> None:
    """The first number of a unit is what later ones are compared with."""
    for one in latest:
        if one.number is not None and one.unit is not None:
            measure.anchors.setdefault(one.unit, Decimal(one.number))


def _sided(before: str | None, now: str | None) -> tuple[str, str] | None:
    """Out of the range, to its other side or further; or back in it."""
    if now is None or now == before:
        return None
    if now == WITHIN:
        return ("back_in_range", WITHIN) if before is not None else None
    if before in (None, WITHIN):
        return "out_of_range", now
    is_worse = now.startswith(_CRITICAL) and not before.startswith(_CRITICAL)
    ways = {one.removeprefix(_CRITICAL) for one in (before, now)} - {"abnormal"}  # which says no way
    return ("out_of_range", now) if is_worse or len(ways) > 1 else None


def _mark(finding: Finding, source: Source, change: str, reason: str) -> LensMark:
    return LensMark(finding.rule, change, reason, source.document_id, finding.path)


Trail = dict[str, list[tuple[LensMark, Finding]]]


def trail(sources: Iterable[Source]) -> Trail:
    """By source what it changed for those before it, oldest first; sources that changed nothing are left out."""
    picture = Picture()
    ordered = sorted((one for one in sources if one.sight.findings or one.sight.spoken_of), key=lambda one: (one.order, one.source_key))
    return {one.source_key: changed for one in ordered if (changed := picture.take(one))}
