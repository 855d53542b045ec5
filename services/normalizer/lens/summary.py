"""What a patient's snapshot says of the marks: for each thing the newest one, newest first."""

from collections.abc import Iterable

from services.normalizer.lens.changes import Source, trail
from services.normalizer.lens.rules import RULES
from shared.canonical.elements import NutritionChange

MOST = 20  # what is older than so many changes is history, which the documents tell


def summary(sources: Iterable[Source]) -> list[NutritionChange]:
    """The newest change of each allergen, diet, drug and measure; a function of the set of sources."""
    newest: dict[tuple[str, tuple[str, ...]], NutritionChange] = {}
    for changed in trail(sources).values():  # oldest first
        for mark, finding in changed:
            thing = mark.rule, finding.keys[:1]
            newest.pop(thing, None)  # so that it stands where it changed last
            newest[thing] = NutritionChange(
                mark.rule,
                mark.change,
                mark.reason,
                RULES[mark.rule].name,
                RULES[mark.rule].why,
                finding.said,
                finding.date,
                mark.document_id,
                mark.path,
            )
    return list(newest.values())[: -MOST - 1 : -1]
