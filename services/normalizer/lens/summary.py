"""What a patient's snapshot says of the marks: for each thing the newest one, newest first."""

from collections.abc import Iterable, Mapping

from services.normalizer.lens.changes import LensMark
from services.normalizer.lens.findings import Finding
from services.normalizer.lens.rules import RULES
from shared.canonical.elements import NutritionChange

MOST = 20  # what is older than so many changes is history, which the documents tell


def summary(changed: Mapping[str, Iterable[tuple[LensMark, Finding]]]) -> list[NutritionChange]:
    """The newest change of each allergen, diet, drug and measure, from what each source changed, oldest first."""
    newest: dict[tuple[str, tuple[str, ...]], NutritionChange] = {}
    for one in changed.values():
        for mark, finding in one:
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
