"""The ledger of an HL7 v2 message: each populated field, by the table `ledger_hl7v2.toml`."""

from functools import lru_cache
from typing import NamedTuple

from services.normalizer.mappings.tables import load_table
from shared.canonical.reading import Losses
from shared.formats.hl7v2 import REPORTS, Message, Segment
from shared.formats.hl7v2_separators import Separators

MAPPED = "+"
MAX_FIELDS = 64
OBSERVED = frozenset({"OBX", "NTE", "SPM"})  # read inside a report or a note only


class Plan(NamedTuple):
    """What becomes of a segment's fields: `+`, the components that are read, a rule, or None for not mapped."""

    fields: tuple[str | frozenset[int] | None, ...]
    rule: str | None = None  # for the whole segment
    otherwise: str | None = None  # for fields that have no entry


def _plan(row: dict[str, object]) -> Plan:
    fields: list[str | frozenset[int] | None] = [None] * MAX_FIELDS
    for number in row.get("mapped", ()):  # type: ignore[attr-defined]  # TOML
        fields[number] = MAPPED
    for number, parts in row.get("parts", {}).items():  # type: ignore[attr-defined]
        fields[int(number)] = frozenset(parts)
    for rule, numbers in row.get("ignored", {}).items():  # type: ignore[attr-defined]
        for number in numbers:
            fields[number] = f"-{rule}"
    whole, otherwise = row.get("all"), row.get("else")
    return Plan(tuple(fields), str(whole) if whole else None, str(otherwise) if otherwise else None)


PLANS = {name: _plan(row) for name, row in load_table("ledger_hl7v2").items()}


def take_stock(message: Message, *, has_documents: bool) -> Losses:
    """What became of the message's fields. `has_documents`: whether its observations were read."""
    losses = Losses()
    is_observed = has_documents and (bool(message.all("TXA")) or not message.all("OBR"))
    for segment in message.segments:
        if segment.name == "OBR" and has_documents and (message.code in REPORTS or message.all("OBX")):
            is_observed = True
        plan = PLANS.get(segment.name)
        if plan is None or (segment.name in OBSERVED and not is_observed):
            losses.miss(segment.name, _written(segment))
        elif plan.rule is not None:
            losses.leave(plan.rule, _written(segment))
        else:
            _count(segment, losses)
    return losses


def _written(segment: Segment) -> int:
    """How many fields say anything; a segment that is only its name counts once."""
    return sum(map(bool, segment.fields)) - 1 or 1


def _count(segment: Segment, losses: Losses) -> None:
    """The fields of a segment, by which of them are written: most segments of a kind look alike."""
    fields, separators = segment.fields, segment.separators
    shape = _shape(segment.name, tuple(map(bool, fields)))
    mapped, component = shape.mapped, separators.component
    for number, read in shape.apart:
        raw = fields[number]
        if component not in raw:
            mapped += 1
            continue
        count, missed = _parts(raw, read, separators)
        mapped += count
        for part in missed:
            losses.miss(f"{segment.name}-{number}.{part}", 1)
    losses.mapped += mapped
    for rule, count in shape.ignored:
        losses.leave(rule, count)
    for path in shape.missed:
        losses.miss(path, 1)


class Shape(NamedTuple):
    """What becomes of the fields that a segment has: read whole, taken apart, left out, missed."""

    mapped: int
    apart: tuple[tuple[int, frozenset[int]], ...]
    ignored: tuple[tuple[str, int], ...]
    missed: tuple[str, ...]


@lru_cache(maxsize=4096)
def _shape(name: str, written: tuple[bool, ...]) -> Shape:
    plan = PLANS[name]
    mapped, apart, missed = 0, [], []
    ignored: dict[str, int] = {}
    for number, is_written in enumerate(written):
        if not is_written or number == 0:  # field 0 is the segment's name
            continue
        fate = plan.fields[number] if number < MAX_FIELDS else None
        if fate == MAPPED:
            mapped += 1
        elif isinstance(fate, frozenset):
            apart.append((number, fate))
        elif fate is not None or plan.otherwise is not None:
            rule = fate[1:] if fate is not None else str(plan.otherwise)
            ignored[rule] = ignored.get(rule, 0) + 1
        else:
            missed.append(f"{name}-{number}")
    return Shape(mapped, tuple(apart), tuple(ignored.items()), tuple(missed))


@lru_cache(maxsize=4096)
def _parts(raw: str, read: frozenset[int], separators: Separators) -> tuple[int, tuple[int, ...]]:
    """Of a field that is taken apart: how many components are read, and which ones are not."""
    written = [
        part
        for repetition in raw.split(separators.repetition)
        for part, text in enumerate(repetition.split(separators.component), 1)
        if text
    ]
    missed = tuple(part for part in written if part not in read)
    return len(written) - len(missed), missed
