"""Problems, medications, immunizations, procedures, family and social history, diets: one clinical statement, one entry."""

from dataclasses import dataclass

from services.normalizer.mappings.tables import load_table
from services.normalizer.readers.ccda_results import read_results
from services.normalizer.readers.ccda_values import Context, read_coding, read_value, wording
from shared.canonical.elements import Coding, DietaryPreference, HistoryEntry, HistoryKind, Result, Value
from shared.formats.cda_tree import Element, attribute, child, children, descend

_STATUSES = load_table("ccda_statuses")
_NEGATIONS: dict[str, str] = load_table("ccda_allergies")["negations"]
_STATUS_OBSERVATION = "33999-4"
_NUTRITIONAL_STATUS = "75305-3"  # how well nourished, not what is eaten
_ASSERTION = "ASSERTION"


@dataclass(frozen=True, slots=True)
class Around:
    """What the statements around one say about it."""

    section_kind: str | None
    is_negated: bool = False
    concern_status: str | None = None
    group: str | None = None
    effective: str | None = None
    status: str | None = None
    relative: str | None = None
    is_grouped: bool = False


def status_code(statement: Element) -> str | None:
    """The ActStatus code."""
    return attribute(child(statement, "statusCode"), "code")


def began(statement: Element, context: Context) -> str | None:
    """When it began; how often a medication is taken is no beginning."""
    times = (one for one in children(statement, "effectiveTime") if child(one, "period") is None)
    return next((text for one in times if (text := context.time(one))), None)


def has_ended(statement: Element) -> bool:
    """Whether an end is given."""
    return any(attribute(child(one, "high"), "value") for one in children(statement, "effectiveTime"))


def own_status(observation: Element) -> str | None:
    """The status observation beneath, as a word."""
    for relationship in children(observation, "entryRelationship"):
        inner = child(relationship, "observation")
        if inner is not None and attribute(child(inner, "code"), "code") == _STATUS_OBSERVATION:
            value = child(inner, "value")
            known = _STATUSES["clinical_statuses"].get(attribute(value, "code") or "")
            return known or (attribute(value, "displayName") or "").lower() or None
    return None


def says_none(coding: Coding | None) -> bool:
    """Whether the code itself is a negation ("no known …")."""
    return coding is not None and coding.code in _NEGATIONS


def read_problem(observation: Element, around: Around, context: Context) -> HistoryEntry | None:
    """A problem or diagnosis; None when neither a code nor words are given."""
    value = child(observation, "value")
    coding = read_coding(value)
    text = wording(value, context) or context.text(value) or context.text(child(observation, "text"))
    if coding is None and text is None:
        return None
    status = own_status(observation) or ("resolved" if has_ended(observation) else around.concern_status)
    negated = around.is_negated or says_none(coding)
    return HistoryEntry("condition", coding, text, status, began(observation, context), negated)


def read_substance(statement: Element, around: Around, context: Context, *, is_immunization: bool) -> HistoryEntry | None:
    """A medication or an immunization; None when no product is named."""
    product = descend(statement, "consumable", "manufacturedProduct")
    material = descend(product, "manufacturedMaterial")
    if material is None:
        material = descend(product, "manufacturedLabeledDrug")
    code = descend(material, "code")
    coding = read_coding(code)
    text = wording(code, context) or context.text(descend(material, "name")) or context.text(child(statement, "text"))
    if coding is None and text is None:
        return None
    status = own_status(statement) or _STATUSES["act_statuses"].get(status_code(statement) or "")
    kind: HistoryKind = "immunization" if is_immunization else "medication"
    return HistoryEntry(kind, coding, text, status, began(statement, context), around.is_negated)


def read_procedure(statement: Element, around: Around, context: Context) -> HistoryEntry | None:
    """A procedure done; None when neither a code nor words are given."""
    code = child(statement, "code")
    coding = read_coding(code)
    text = wording(code, context) or context.text(child(statement, "text"))
    if coding is None and text is None:
        return None
    status = _STATUSES["act_statuses"].get(status_code(statement) or "")
    return HistoryEntry("procedure", coding, text, status, began(statement, context), around.is_negated)


def read_family(observation: Element, around: Around, context: Context) -> HistoryEntry | None:
    """A relative's condition, in words with the relation in front."""
    value = child(observation, "value")
    coding = read_coding(value)
    text = wording(value, context) or context.text(value) or context.text(child(observation, "text"))
    if coding is None and text is None:
        return None
    text = text or (coding.display or coding.code if coding else None)
    text = f"{around.relative}: {text}" if around.relative else text
    return HistoryEntry("family", coding, text, None, began(observation, context), around.is_negated)


def read_social(observation: Element, around: Around, context: Context) -> HistoryEntry | None:
    """Habits and circumstances: the question's code, and question and answer in words; a bare assertion has the answer's code."""
    code = child(observation, "code")
    question = None if attribute(code, "code") == _ASSERTION else read_coding(code)
    asked = wording(code, context) if question else None
    values = [read_value(one, context) for one in children(observation, "value")]
    answers = [text for one in values if (text := say(one))]
    answered = next((one.code for one in values if one.code), None)
    text = ", ".join(answers)
    text = f"{asked}: {text}" if asked and text else text or asked or context.text(child(observation, "text")) or ""
    if question is None and answered is None and not text:
        return None
    status = "resolved" if has_ended(observation) else None
    return HistoryEntry("social", question or answered, text or None, status, began(observation, context), around.is_negated)


def say(value: Value) -> str | None:
    """A value in words."""
    if value.kind == "quantity":
        return f"{value.comparator or ''}{value.number}{f' {value.unit}' if value.unit else ''}"
    if value.kind == "coded":
        return value.text or (value.code.display or value.code.code if value.code else None)
    return f"{value.text} {value.unit}" if value.unit else value.text


def read_nutrition(statement: Element, around: Around, context: Context) -> tuple[list[DietaryPreference], list[Result]]:
    """Diets that are coded (75303-8 assessment, recommendations); the nutritional status itself (75305-3) is a result."""
    code = read_coding(child(statement, "code"))
    if code is not None and code.code == _NUTRITIONAL_STATUS:
        return [], [] if around.is_negated else read_results(statement, around.status, around.effective, around.group, context)
    value = child(statement, "value")
    diet = read_coding(value)
    text = wording(value, context)
    if value is None and attribute(statement, "moodCode") != "EVN":  # a recommendation is its own code
        diet, text = code, wording(child(statement, "code"), context)
    if diet is None:
        return [], []
    status = "active" if attribute(statement, "moodCode") == "EVN" else "recommended"
    return [DietaryPreference("diet", diet, text, status=status, negated=around.is_negated)], []
