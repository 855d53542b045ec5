"""Allergies and intolerances of CDA: history entries, and dietary preferences where food is meant. Negations stay negations."""

from typing import Literal

from services.normalizer.mappings.tables import load_table
from services.normalizer.readers.ccda_codes import read_coding, wording
from services.normalizer.readers.ccda_context import Context
from services.normalizer.readers.ccda_history import Around, began, status_of
from services.normalizer.readers.denials import ANY, denied_allergy, denies, is_unknown_allergen, knows_nothing
from shared.canonical.elements import Coding, DietaryPreference, HistoryEntry
from shared.formats.cda_tree import Element, attribute, child, children, descend

DietKind = Literal["allergy", "intolerance"]
_TABLE = load_table("ccda_allergies")
_TYPES = frozenset(code for name in ("food_kinds", "medication_types", "environment_types", "general_types") for code in _TABLE[name])
_CRITICALITY = "82606-5"
_CRITICALITIES = {"CRITH": "high", "CRITL": "low"}
_ALLERGENS = ("CSM", None)  # consumable, ParticipationType
# C-CDA and CCD 1.0 reactions, where the relationship does not say MFST
_REACTIONS = frozenset(("2.16.840.1.113883.10.20.22.4.9", "2.16.840.1.113883.10.20.1.54"))


def read_allergies(observation: Element, around: Around, context: Context) -> list[HistoryEntry | DietaryPreference]:
    """The statement as medical history and, where it concerns food, as a dietary preference; once for each allergen named."""
    value = child(observation, "value")
    kind = read_coding(value)
    # C32 has the type in code and may have the substance in value
    kinds = [one for one in (kind, read_coding(child(observation, "code"))) if one]
    onset = began(observation, context)
    status = status_of(observation, around, context)
    criticality = _read_criticality(observation)
    reactions = _read_reactions(observation, context)
    entries: list[HistoryEntry | DietaryPreference] = []
    for allergen, named in _read_allergens(observation, context) or [(None, None)]:
        if allergen is not None and around.is_negated and allergen.code in _TABLE["general_allergens"]:
            allergen, named = None, None  # "no allergy to substance": to nothing at all
        text = named or (None if allergen else _words(observation, value, kind, context))
        # the type stands for the allergen only where none is named
        finding = allergen or (None if named else kind)
        if finding is None and text is None:
            continue
        if knows_nothing(finding, text) or (finding is None and is_unknown_allergen(None, text)):
            context.warn("no_information")
            continue
        none_of = denied_allergy([one for one in (allergen, kind) if one], text)
        negated = around.is_negated or none_of is not None or denies(finding, text)
        category, diet_kind = _classify(kinds, allergen, none_of, is_none_known=negated and (allergen is None or none_of is not None))
        entries.append(HistoryEntry("allergy", finding, text, status, onset, negated, category, criticality))
        if diet_kind is not None:
            entries.append(DietaryPreference(diet_kind, finding, text, criticality, reactions, status, negated))
    return entries


def _words(observation: Element, value: Element | None, kind: Coding | None, context: Context) -> str | None:
    """Without an allergen: the substance that the value names, or what the narrative says and the type cannot ("No Known Allergies")."""
    if value is None or kind is None or kind.code in _TYPES:
        return context.text(child(observation, "text")) or wording(value, context)
    return wording(value, context) or context.text(child(observation, "text"))


def _read_allergens(observation: Element, context: Context) -> list[tuple[Coding | None, str | None]]:
    found = []
    for participant in children(observation, "participant"):
        if attribute(participant, "typeCode") not in _ALLERGENS:
            continue  # skip informants and places
        entity = descend(participant, "participantRole", "playingEntity")
        if entity is None:
            continue
        code = child(entity, "code")
        # the display before the original text: references to the wrong cell are copied from sample to sample ("Hives")
        coding = read_coding(code)
        text = attribute(code, "displayName") or context.text(child(entity, "name")) or wording(code, context)
        if coding or text:
            found.append((coding, text))
    return found


def _classify(
    kinds: list[Coding], allergen: Coding | None, none_of: str | None, *, is_none_known: bool
) -> tuple[str | None, DietKind | None]:
    """Category and, for food, the kind of dietary preference. Words alone never make something food."""
    for code in (one.code or "" for one in kinds):
        if code in _TABLE["food_kinds"]:
            return "food", "intolerance" if _TABLE["food_kinds"][code] == "intolerance" else "allergy"
        if code in _TABLE["medication_types"]:
            return "medication", None
        if code in _TABLE["environment_types"]:
            return "environment", None
    codes = [one.code for each in (*kinds, allergen) if each for one in (each, *each.translations)]
    if none_of == "food" or any(one in _TABLE["foods"] for one in codes):
        return "food", "allergy"
    if none_of not in (None, ANY):
        return none_of, None
    # "no known allergies" of any kind says so of food too
    is_any = none_of == ANY or any(one.code in _TABLE["general_types"] for one in kinds)
    return None, "allergy" if is_none_known and is_any else None


def _read_criticality(observation: Element) -> str | None:
    """82606-5, else high where the allergy or one of its reactions is severe beyond doubt (as v2-to-FHIR does with AL1-4)."""
    is_severe = False
    for inner in _beneath(observation):
        code = attribute(child(inner, "code"), "code")
        if code == _CRITICALITY and (said := attribute(child(inner, "value"), "code")) in _CRITICALITIES:
            return _CRITICALITIES[said]
        is_severe = is_severe or _is_severe(inner) or any(_is_severe(one) for one in _beneath(inner))
    return "high" if is_severe else None


def _is_severe(observation: Element) -> bool:
    if attribute(child(observation, "code"), "code") != "SEV":
        return False
    value = child(observation, "value")
    return attribute(value, "code") in _TABLE["severe"] or (attribute(value, "displayName") or "").lower() == "severe"


def _beneath(observation: Element) -> list[Element]:
    return [one for each in children(observation, "entryRelationship") for one in children(each, "observation")]


def _read_reactions(observation: Element, context: Context) -> list[str]:
    reactions: list[str] = []
    for relationship in children(observation, "entryRelationship"):
        inner = child(relationship, "observation")
        if inner is None or not _is_reaction(relationship, inner):
            continue
        value = child(inner, "value")
        text = attribute(value, "displayName") or wording(value, context) or context.text(child(inner, "text")) or context.text(value)
        if text and text not in reactions:
            reactions.append(text)
    return reactions


def _is_reaction(relationship: Element, observation: Element) -> bool:
    if attribute(relationship, "typeCode") == "MFST":
        return True
    return any(attribute(one, "root") in _REACTIONS for one in children(observation, "templateId"))
