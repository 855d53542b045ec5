"""The ledger of a CDA document: each attribute and each text, by the table `ledger_cda.toml`."""

import re
from functools import lru_cache
from typing import Any

from services.normalizer.mappings.tables import load_table
from services.normalizer.readers.ccda_sections import section_kind as kind_of_section
from shared.canonical.reading import Losses
from shared.formats.cda_tree import STATEMENTS, Element, attribute, child, children, descend

_TABLE = load_table("ledger_cda")
NAMES = frozenset(_TABLE["names"].split())
ATTRIBUTES = {name: rule for rule in ("structure", "no_information") for name in _TABLE["attributes"][rule]}
UNREAD = frozenset(_TABLE["attributes"]["unread"])
UNKNOWN = "(unknown)"  # an element that CDA does not know: its name is the sender's own word
NARRATIVE = "narrative"
LOINC = re.compile(r"\d{1,5}-\d")
KINDS: dict[str, str] = load_table("ccda_templates")["entries"]
MAPPED, BELOW = "+", ">"
DONE = (None, "EVN")
MOODS = {"medication": (*DONE, "INT")}  # a prescription in a list is an intent
RISK = "risk"  # what may happen is no fact


def _plan(row: dict[str, Any]) -> dict[str, str]:
    plan = {name: f"-{rule}" for rule, names in row.get("ignored", {}).items() for name in names}
    plan |= dict.fromkeys(row.get("mapped", ()), MAPPED)
    return plan | dict.fromkeys(row.get("below", ()), BELOW)


PLANS = {name: _plan(row) for name, row in _TABLE.items() if isinstance(row, dict) and name != "attributes"}
STATEMENT = PLANS["statement"]


def take_stock(root: Element) -> Losses:
    """What became of the attributes and texts of a document, or of a fragment."""
    losses = Losses()
    name = _local(root)
    if name in STATEMENTS:
        _statement(root, name, None, losses)
    else:
        _walk(root, name, name, None, losses)
    return losses


def _local(element: Element) -> str:
    return _bare(element.tag)


@lru_cache(maxsize=1024)
def _bare(name: str) -> str:
    """A name without its namespace."""
    return name.rpartition("}")[2]


def _walk(element: Element, name: str, path: str, section_kind: str | None, losses: Losses) -> None:
    """An element with a row of its own; `section_kind` is what the entries around it are."""
    plan = PLANS.get(name, {})
    _attributes(element, losses)
    if name == "section":
        code, title = attribute(child(element, "code"), "code"), child(element, "title")
        section_kind = kind_of_section(element, code, title.text if title is not None else None) or section_kind
        path = f"section[{code}]" if code and LOINC.fullmatch(code) else "section"
    for one in element.iterchildren("*"):
        inner = _local(one)
        fate = plan.get(inner)
        if inner in STATEMENTS and name in ("entry", "component"):
            _statement(one, path, section_kind, losses)
        elif fate == BELOW or (name == "section" and inner == "entry"):
            _walk(one, inner, path if name in ("section", "entry") else f"{path}/{inner}", section_kind, losses)
        else:
            _settle(one, fate, f"{path}/{inner if inner in NAMES else UNKNOWN}", losses)


def _statement(statement: Element, path: str, section_kind: str | None, losses: Losses, *, is_grouped: bool = False) -> None:
    """A clinical statement: read by its template, or as its section's. Of one that is neither, the statements and files inside may be."""
    kinds = [kind for one in children(statement, "templateId") if (kind := KINDS.get(attribute(one, "root") or ""))]
    is_group = _local(statement) == "organizer"
    if is_group and descend(statement, "subject", "relatedSubject") is not None:
        section_kind = "family"
    kind = kinds[0] if kinds else section_kind or ("result" if is_group or is_grouped else None)
    is_read = bool(kind) and (section_kind != NARRATIVE or "nutrition" in kinds)
    if kind != "nutrition" and attribute(statement, "moodCode") not in MOODS.get(kind or "", DONE):
        is_read = False  # intended, requested or promised: not a fact
    if kind == RISK:
        _settle(statement, None, f"{path}/entry", losses)
        return
    text = child(statement, "text")
    is_file = text is not None and (attribute(text, "mediaType") is not None or attribute(text, "representation") is not None)
    if is_read:
        _attributes(statement, losses)
    for one in statement.iterchildren("*"):
        inner = _local(one)
        fate = STATEMENT.get(inner) if is_read or (is_file and inner in ("text", "code")) else None
        if STATEMENT.get(inner) == BELOW:
            _attributes(one, losses)
            for held in one.iterchildren("*"):
                if _local(held) in STATEMENTS:
                    _statement(held, path, kind if is_read else section_kind, losses, is_grouped=is_group)
                else:
                    _settle(held, "-structure", path, losses)
        elif is_read:
            _settle(one, fate, f"{path}/entry/{inner if inner in NAMES else UNKNOWN}", losses)
        else:
            _settle(one, fate, f"{path}/entry", losses)


def _settle(element: Element, fate: str | None, path: str, losses: Losses) -> None:
    """An element whose whole content has one fate."""
    if not len(element):  # most have nothing inside
        count = _own(element, losses)
    else:
        count = _beneath(element, fate, path, losses)
    if not count:
        return
    if fate == MAPPED:
        losses.mapped += count
    elif fate is None:
        losses.miss(path, count)
    else:
        losses.leave(fate[1:], count)


def _beneath(element: Element, fate: str | None, path: str, losses: Losses) -> int:
    """Attributes and texts of an element and of all inside it; what nobody reads wherever it stands is missed on the way."""
    count = 0
    for one in element.iter("*"):
        if fate == MAPPED and _local(one) in UNREAD:
            losses.miss(f"{path}/{_local(one)}", _own(one, losses))
        else:
            count += _own(one, losses)
    return count


def _own(element: Element, losses: Losses) -> int:
    """How many attributes and texts of its own an element has; the grammar among them is left out."""
    count = 0
    for name in element.keys():  # noqa: SIM118  # an element iterates over its children
        if rule := ATTRIBUTES.get(_bare(name)):
            losses.leave(rule, 1)
        else:
            count += 1
    text = element.text
    return count + 1 if text and not text.isspace() else count


def _attributes(element: Element, losses: Losses) -> None:
    """The attributes of an element that is walked, as `negationInd`."""
    losses.mapped += _own(element, losses)
