"""Allergies and intolerances of CDA: history entries, and dietary preferences where food is meant. Negations stay negations."""

from typing import Literal

from services.normalizer.mappings.tables import load_table
from services.normalizer.readers.ccda_history import Around, began, has_ended, own_status, says_none
from services.normalizer.readers.ccda_values import Context, read_coding, wording
from services.normalizer.readers.denials import ANY, denied
from shared.canonical.elements import Coding, DietaryPreference, HistoryEntry
from shared.formats.cda_tree import Element, attribute, child, children, descend

_TABLE = load_table("ccda_allergies")
_CRITICALITY = "82606-5"
_CRITICALITIES = {"CRITH": "high", "CRITL": "low"}
# SNOMED CT severity; only what is beyond doubt counts as high criticality (as v2-to-FHIR does with AL1-4)
_HIGH_SEVERITIES = ("24484000", "399166001")


def read_allergies(observation: Element, around: Around, context: Context) -> list[HistoryEntry | DietaryPreference]:
    """The statement as medical history and, where it concerns food, as a dietary preference; once for each allergen named."""
    value = child(observation, "value")
    kind = read_coding(value)
    # C32 has the type in code and may have the substance in value
    kinds = [one for one in (kind, read_coding(child(observation, "code"))) if one]
    onset = began(observation, context)
    status = own_status(observation) or ("resolved" if has_ended(observation) else around.concern_status)
    criticality = _read_criticality(observation)
    reactions = _read_reactions(observation, context)
    entries: list[HistoryEntry | DietaryPreference] = []
    for allergen, named in _read_allergens(observation, context) or [(None, None)]:
        # without an allergen the narrative says what the type cannot ("No Known Allergies")
        text = named or (None if allergen else context.text(child(observation, "text")) or wording(value, context))
        # the type stands for the allergen only where none is named
        finding = allergen or (None if named else kind)
        if finding is None and text is None:
            continue
        none_of = denied([finding] if finding else [], text)  # senders write "NKDA" where the allergen should stand
        negated = around.is_negated or says_none(kind) or says_none(allergen) or none_of is not None
        category, diet_kind = _classify(kinds, allergen, is_none_known=negated and (allergen is None or none_of == ANY))
        if none_of not in (None, ANY):
            category, diet_kind = none_of, "allergy" if none_of == "food" else None
        entries.append(HistoryEntry("allergy", finding, text, status, onset, negated, category, criticality))
        if diet_kind is not None:
            entries.append(DietaryPreference(diet_kind, finding, text, criticality, reactions, status, negated))
    return entries


def _read_allergens(observation: Element, context: Context) -> list[tuple[Coding | None, str | None]]:
    found = []
    for participant in children(observation, "participant"):
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
    kinds: list[Coding], allergen: Coding | None, *, is_none_known: bool
) -> tuple[str | None, Literal["allergy", "intolerance"] | None]:
    """Category and, for food, the kind of dietary preference. Words alone never make something food."""
    for code in (one.code or "" for one in kinds):
        if code in _TABLE["food_kinds"]:
            return "food", "intolerance" if _TABLE["food_kinds"][code] == "intolerance" else "allergy"
        if code in _TABLE["medication_types"]:
            return "medication", None
        if code in _TABLE["environment_types"]:
            return "environment", None
    codes = [one.code for each in (*kinds, allergen) if each for one in (each, *each.translations)]
    if any(one in _TABLE["foods"] for one in codes):
        return "food", "allergy"
    # "no known allergies" of any kind says so of food too
    return None, "allergy" if is_none_known and any(one.code in _TABLE["general_types"] for one in kinds) else None


def _read_criticality(observation: Element) -> str | None:
    severe = False
    for inner in _beneath(observation):
        code = attribute(child(inner, "code"), "code")
        value = attribute(child(inner, "value"), "code")
        if code == _CRITICALITY and value in _CRITICALITIES:
            return _CRITICALITIES[value]
        severe = severe or (code == "SEV" and value in _HIGH_SEVERITIES)
        severe = severe or any(
            attribute(child(one, "code"), "code") == "SEV" and attribute(child(one, "value"), "code") in _HIGH_SEVERITIES
            for one in _beneath(inner)
        )
    return "high" if severe else None


def _beneath(observation: Element) -> list[Element]:
    return [one for each in children(observation, "entryRelationship") for one in children(each, "observation")]


def _read_reactions(observation: Element, context: Context) -> list[str]:
    reactions: list[str] = []
    for relationship in children(observation, "entryRelationship"):
        inner = child(relationship, "observation")
        if attribute(relationship, "typeCode") != "MFST" or inner is None:
            continue
        value = child(inner, "value")
        text = attribute(value, "displayName") or wording(value, context) or context.text(child(inner, "text")) or context.text(value)
        if text and text not in reactions:
            reactions.append(text)
    return reactions
