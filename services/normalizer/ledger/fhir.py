"""The ledger of FHIR resources: each primitive, by the table `ledger_fhir.toml`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from services.normalizer import mappings
from services.normalizer.mappings.tables import load_table
from shared.canonical.reading import Losses
from shared.formats.fhir_tree import Resource, kind_of, objects

MAPPED = "+"
ELSE = ""  # the entry of a plan for names that have none
UNKNOWN = "(unknown)"  # a property that FHIR does not know: its name is the sender's own word
MAX_CONTAINED = 4  # resources inside resources
Plan = dict[str, Any]  # by name: `+`, `-rule`, or the plan of what is below

_WRITTEN = (Path(mappings.__file__).parent / "fhir_elements.txt").read_text(encoding="utf-8")
NAMES = frozenset(name for line in _WRITTEN.splitlines() if not line.startswith("#") for name in line.split())


def _plan(row: dict[str, Any], every: dict[str, Any]) -> Plan:
    """A plan from a table's row and from what holds for every resource; what the row says counts."""
    if rule := row.get("all"):
        return {ELSE: f"-{rule}"}
    plan: Plan = {}
    for source in (every, row):
        for rule, paths in source.get("ignored", {}).items():
            for path in paths:
                _put(plan, path, f"-{rule}")
        for path in source.get("mapped", ()):
            _put(plan, path, MAPPED)
    if rule := row.get("else"):
        plan[ELSE] = f"-{rule}"
    return plan


def _put(plan: Plan, path: str, fate: str) -> None:
    *above, last = path.split(".")
    for name in above:
        below = plan.get(name)
        if not isinstance(below, dict):
            plan[name] = below = {} if below is None else {ELSE: below}
        plan = below
    for name in _spelled(last):
        if fate != MAPPED and isinstance(plan.get(name), dict):
            plan[name][ELSE] = fate
        else:
            plan[name] = fate


def _spelled(name: str) -> list[str]:
    """The names of an element that comes in several types: `value[x]` is valueQuantity, valueString …"""
    stem = name.removesuffix("[x]")
    return [name] if stem == name else [one for one in NAMES if one.startswith(stem) and one[len(stem) :][:1].isupper()]


_TABLE = load_table("ledger_fhir")
PLANS: dict[str, Plan] = {kind: _plan(row, _TABLE["every"]) for kind, row in _TABLE.items() if kind != "every"}


def take_stock(resources: Iterable[Resource], foreign: Iterable[Resource] = ()) -> Losses:
    """What became of the primitives of the resources that are read, and of those about another person."""
    losses = Losses()
    for resource in resources:
        _count_resource(resource, losses, 0)
    for resource in foreign:
        losses.leave("another_patient", leaves(resource))
    return losses


def _count_resource(resource: Resource, losses: Losses, depth: int) -> None:
    kind = kind_of(resource)
    plan = PLANS.get(kind)
    if plan is None:
        losses.miss(kind if kind in NAMES else UNKNOWN, leaves(resource))
        return
    _walk(resource, plan, kind, losses)
    if depth < MAX_CONTAINED and "contained" in resource:
        for one in objects(resource["contained"]):
            losses.mapped -= leaves(one)  # `contained` counted it as read; its own plan says more
            _count_resource(one, losses, depth + 1)


def _walk(node: Resource, plan: Plan, path: str, losses: Losses) -> None:
    """Count below a node; as deep as the plan goes, never deeper."""
    for name, value in node.items():
        fate = plan.get(name)
        if fate == MAPPED:
            losses.mapped += 1 if value.__class__ is str else leaves(value)
        elif fate.__class__ is dict:
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, dict):
                    _walk(one, fate, f"{path}.{name}", losses)
                else:
                    losses.miss(f"{path}.{name}", leaves(one))
        elif fate is not None or ELSE in plan:
            losses.leave((fate or plan[ELSE])[1:], leaves(value))
        else:
            losses.miss(f"{path}.{_shown(name)}", leaves(value))


def _shown(name: str) -> str:
    """A property as a path says it; `_birthDate` holds the extensions of birthDate."""
    if name.startswith("_") and not name.startswith("__"):
        return f"{_shown(name[1:])}.extension"
    return name if name in NAMES else UNKNOWN


def leaves(value: Any) -> int:
    """How many primitives a value holds."""
    if value.__class__ is not dict and value.__class__ is not list:
        return 0 if value is None else 1
    count, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        for inner in one.values() if one.__class__ is dict else one:
            if inner.__class__ is str:
                count += 1
            elif inner.__class__ is dict or inner.__class__ is list:
                waiting.append(inner)
            elif inner is not None:
                count += 1
    return count
