"""Problems, medications, immunizations, procedures, family and social history: one clinical statement, one entry."""

from dataclasses import dataclass

from services.normalizer.mappings.tables import load_table
from services.normalizer.readers.ccda_codes import read_coding, wording
from services.normalizer.readers.ccda_context import Context
from services.normalizer.readers.ccda_values import read_value, say
from services.normalizer.readers.denials import denies, knows_nothing
from shared.canonical.elements import Coding, HistoryEntry, HistoryKind
from shared.formats.cda_tree import Element, attribute, child, children, descend

_STATUSES = load_table("ccda_statuses")
_STATUS_OBSERVATION = "33999-4"
# the same without its code: C-CDA problem and allergy status, CCD 1.0 status of alerts, medications, problems
_STATUS_TEMPLATES = frozenset(
    (
        *("2.16.840.1.113883.10.20.22.4.6", "2.16.840.1.113883.10.20.22.4.28"),
        *("2.16.840.1.113883.10.20.1.39", "2.16.840.1.113883.10.20.1.47", "2.16.840.1.113883.10.20.1.50", "2.16.840.1.113883.10.20.1.57"),
    )
)
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
    """The ActStatus code, in lower case."""
    written = attribute(child(statement, "statusCode"), "code")
    return written.lower() if written else None


def began(statement: Element, context: Context) -> str | None:
    """When it began; how often a medication is taken is no beginning."""
    times = (one for one in children(statement, "effectiveTime") if child(one, "period") is None)
    return next((text for one in times if (text := context.time(one))), None)


def has_ended(statement: Element) -> bool:
    """Whether an end is given."""
    return any(attribute(child(one, "high"), "value") for one in children(statement, "effectiveTime"))


def own_status(statement: Element, context: Context) -> str | None:
    """The status observation beneath, as a word of ours; None for words that we do not know."""
    for relationship in children(statement, "entryRelationship"):
        inner = child(relationship, "observation")
        if inner is None or not _is_status(inner):
            continue
        value = child(inner, "value")
        for words in (attribute(value, "displayName"), wording(value, context)):
            if found := _STATUSES["status_words"].get((words or "").lower()):
                return str(found)
        found = _STATUSES["clinical_statuses"].get(attribute(value, "code") or "")
        return str(found) if found else None
    return None


def _is_status(observation: Element) -> bool:
    if attribute(child(observation, "code"), "code") == _STATUS_OBSERVATION:
        return True
    return any(attribute(one, "root") in _STATUS_TEMPLATES for one in children(observation, "templateId"))


def status_of(observation: Element, around: Around, context: Context) -> str | None:
    """The status of a problem or allergy: said beneath it, else by its end, else by the concern around it."""
    return own_status(observation, context) or ("resolved" if has_ended(observation) else around.concern_status)


def read_problem(observation: Element, around: Around, context: Context) -> HistoryEntry | None:
    """A problem or diagnosis; None when neither a code nor words are given."""
    coding, text = _finding(observation, context)
    status = status_of(observation, around, context)
    return _entry("condition", coding, text, status, began(observation, context), around, context)


def _finding(observation: Element, context: Context) -> tuple[Coding | None, str | None]:
    """The code of an observation's value and what it says in words."""
    value = child(observation, "value")
    coding = read_coding(value)
    return coding, wording(value, context) or context.text(value) or context.text(child(observation, "text"))


def _entry(
    kind: HistoryKind, coding: Coding | None, text: str | None, status: str | None, onset: str | None, around: Around, context: Context
) -> HistoryEntry | None:
    """The statement, unless it says nothing or that nobody knows; what says "none" is negated."""
    if coding is None and text is None:
        return None
    shown = coding.display if coding else None
    if knows_nothing(coding, text):
        context.warn("no_information")
        return None
    return HistoryEntry(kind, coding, text, status, onset, around.is_negated or denies(coding, text, shown))


def read_substance(statement: Element, around: Around, context: Context, *, is_immunization: bool) -> HistoryEntry | None:
    """A medication or an immunization; None when no product is named."""
    product = descend(statement, "consumable", "manufacturedProduct")
    if product is None:
        product = descend(statement, "product", "manufacturedProduct")  # a supply
    material = descend(product, "manufacturedMaterial")
    if material is None:
        material = descend(product, "manufacturedLabeledDrug")
    code = descend(material, "code")
    coding = read_coding(code)
    text = wording(code, context) or context.text(descend(material, "name")) or context.text(child(statement, "text"))
    status = own_status(statement, context) or _STATUSES["act_statuses"].get(status_code(statement) or "")
    kind: HistoryKind = "immunization" if is_immunization else "medication"
    return _entry(kind, coding, text, status, began(statement, context), around, context)


def read_procedure(statement: Element, around: Around, context: Context) -> HistoryEntry | None:
    """A procedure done; None when neither a code nor words are given."""
    code = child(statement, "code")
    coding = read_coding(code)
    text = wording(code, context) or context.text(child(statement, "text"))
    status = _STATUSES["act_statuses"].get(status_code(statement) or "")
    return _entry("procedure", coding, text, status, began(statement, context), around, context)


def read_family(observation: Element, around: Around, context: Context) -> HistoryEntry | None:
    """A relative's condition, in words with the relation in front."""
    coding, text = _finding(observation, context)
    entry = _entry("family", coding, text, None, began(observation, context), around, context)
    if entry is not None and around.relative:
        said = text or (coding.display or coding.code if coding else None)
        entry.text = f"{around.relative}: {said}"
    return entry


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
