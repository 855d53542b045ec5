"""What entries say, as lines that people read: for sections whose author left out the narrative."""

from services.normalizer.readers.ccda_entries import Findings
from services.normalizer.readers.lines import result_line
from shared.canonical.elements import DietaryPreference, HistoryEntry


class Since:
    """How much had been found at some point, to tell what came after."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._counts = len(findings.history), len(findings.diet), len(findings.results)

    def lines(self) -> str | None:
        """One line for each fact found since."""
        history, diet, results = self._counts
        facts: list[HistoryEntry | DietaryPreference] = [*self._findings.history[history:]]
        # allergies stand in the history too
        facts += [one for one in self._findings.diet[diet:] if one.kind == "diet"]
        found = [_line(one) for one in facts] + [
            f"{result_line(one)}{f', {one.effective}' if one.effective else ''}" for one in self._findings.results[results:]
        ]
        return "\n".join(found) or None


def _line(fact: HistoryEntry | DietaryPreference) -> str:
    code = fact.code
    said = fact.text or (code.display or code.code if code else None) or ""
    onset = fact.onset if isinstance(fact, HistoryEntry) else None
    beside = ", ".join(one for one in ("negated" if fact.negated else None, fact.status, onset) if one)
    return f"{said} ({beside})" if beside else said
