"""Nutrition in CDA entries: diets, and how well nourished the patient is."""

from services.normalizer.readers.ccda_codes import read_coding, wording
from services.normalizer.readers.ccda_context import Context
from services.normalizer.readers.ccda_history import Around
from services.normalizer.readers.ccda_results import read_results
from services.normalizer.readers.denials import denies, knows_nothing
from shared.canonical.elements import DietaryPreference, Result
from shared.formats.cda_tree import Element, attribute, child

_NUTRITIONAL_STATUS = "75305-3"  # how well nourished, not what is eaten


def read_nutrition(statement: Element, around: Around, context: Context) -> tuple[list[DietaryPreference], list[Result]]:
    """Diets (75303-8 assessment, recommendations), coded or in words; the nutritional status itself (75305-3) is a result."""
    code_element = child(statement, "code")
    code = read_coding(code_element)
    value = child(statement, "value")
    is_measured = value is not None and attribute(value, "value") is not None
    if code is not None and (code.code == _NUTRITIONAL_STATUS or is_measured):
        return [], [] if around.is_negated else read_results(statement, around.status, around.effective, around.group, context)
    is_done = attribute(statement, "moodCode") == "EVN"
    said = code_element if value is None and not is_done else value  # a recommendation is its own code
    diet, text = read_coding(said), wording(said, context) or context.text(said)
    if diet is None and (text is None or knows_nothing(None, text)):
        return [], []
    negated = around.is_negated or denies(diet, text)
    return [DietaryPreference("diet", diet, text, status="active" if is_done else "recommended", negated=negated)], []
