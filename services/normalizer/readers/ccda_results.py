"""Laboratory results and vital signs of CDA: one observation, one result for each of its values."""

from typing import Literal

from services.normalizer.mappings.tables import load_table
from services.normalizer.readers.ccda_codes import read_coding, wording
from services.normalizer.readers.ccda_context import Context
from services.normalizer.readers.ccda_values import read_interpretation, read_reference_range, read_value
from shared.canonical.elements import Coding, Result, Value
from shared.formats.cda_tree import Element, attribute, child, children

ResultStatus = Literal["final", "preliminary", "corrected", "cancelled", "unknown"]
_STATUSES: dict[str, ResultStatus] = load_table("ccda_statuses")["result_statuses"]


def read_results(observation: Element, status: str | None, effective: str | None, group: str | None, context: Context) -> list[Result]:
    """The results of one observation; status, time and group come from around it where it says none itself."""
    coding = _what(observation, context)
    values = [read_value(one, context) for one in children(observation, "value")]
    if coding is None:
        values = [one for one in values if one.kind != "none"]
        if not values:
            return []
        context.warn("result_without_code")  # nobody can say what was measured; the narrative may
    written = attribute(child(observation, "statusCode"), "code") or status
    when = observed(observation, context) or effective
    interpretation = read_interpretation(observation)
    return [
        Result(
            code=coding,
            value=value,
            reference_range=read_reference_range(observation, value.unit, context),
            interpretation=interpretation,
            status=_STATUSES.get((written or "").lower(), "unknown"),
            effective=when,
            group=group,
        )
        for value in values or [Value()]
    ]


def observed(statement: Element, context: Context) -> str | None:
    """When it was observed: the time, the beginning of an interval, else its end."""
    time = child(statement, "effectiveTime")
    return context.time(time) or (context.time(child(time, "high")) if time is not None else None)


def _what(observation: Element, context: Context) -> Coding | None:
    """The code with its name, which may stand in the narrative only."""
    code = child(observation, "code")
    coding = read_coding(code)
    if coding is not None and coding.display:
        return coding
    shown = wording(code, context)
    if coding is None:
        return Coding(display=shown) if shown else None
    coding.display = shown
    return coding
