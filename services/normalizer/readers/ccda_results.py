"""Laboratory results and vital signs of CDA: one observation, one result for each of its values."""

from typing import Literal

from services.normalizer.mappings.tables import load_table
from services.normalizer.readers.ccda_values import Context, read_coding, read_interpretation, read_reference_range, read_value, wording
from shared.canonical.elements import Coding, Result, Value
from shared.formats.cda_tree import Element, attribute, child, children

ResultStatus = Literal["final", "preliminary", "corrected", "cancelled", "unknown"]
_STATUSES: dict[str, str] = load_table("ccda_statuses")["result_statuses"]


def read_results(observation: Element, status: str | None, effective: str | None, group: str | None, context: Context) -> list[Result]:
    """The results of one observation; status, time and group come from around it where it says none itself."""
    code = child(observation, "code")
    coding = read_coding(code)
    shown = wording(code, context)
    if coding is None and shown:
        coding = Coding(display=shown)
    elif coding is not None and coding.display is None:
        coding.display = shown
    values = [read_value(one, context) for one in children(observation, "value")] or [Value()]
    if coding is None:
        if any(one.kind != "none" for one in values):
            context.warn("result_without_code")  # nobody can say what was measured; the narrative has it
        return []
    written = attribute(child(observation, "statusCode"), "code") or status
    time = child(observation, "effectiveTime")
    when = context.time(time) or (context.time(child(time, "high")) if time is not None else None) or effective
    return [
        Result(
            code=coding,
            value=value,
            reference_range=read_reference_range(observation, value.unit, context),
            interpretation=read_interpretation(observation),
            status=_status(written),
            effective=when,
            group=group,
        )
        for value in values
    ]


def _status(written: str | None) -> ResultStatus:
    match _STATUSES.get((written or "").lower()):
        case "final":
            return "final"
        case "preliminary":
            return "preliminary"
        case "cancelled":
            return "cancelled"
    return "unknown"
