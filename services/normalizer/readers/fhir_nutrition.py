"""NutritionOrder: diets, nutrients, textures, supplements and formulas are diet orders; modifiers are exclusions and preferences."""

from services.normalizer.readers.fhir_allergies import read_allergy
from services.normalizer.readers.fhir_concepts import concept_text, read_code
from services.normalizer.readers.fhir_values import Context, read_quantity
from services.normalizer.readers.lines import value_text
from shared.canonical.elements import Coding, DietaryPreference, DietKind
from shared.canonical.reading import PatientReading
from shared.formats.fhir_tree import Resource, kind_of, objects, reference_of, text_of

Said = tuple[DietKind, Coding | None, str | None]


def read_nutrition_order(resource: Resource, reading: PatientReading, context: Context) -> None:
    """Add what an order says about the patient's diet; https://hl7.org/fhir/R4/nutritionorder.html."""
    status = text_of(resource.get("status"))
    said: list[Said] = []
    for diet in objects(resource.get("oralDiet")):
        said += _oral(diet)
    for one in objects(resource.get("supplement")):
        said.append(_named("diet", one.get("type"), one.get("productName"), one.get("instruction")))
    for one in objects(resource.get("enteralFormula")):
        said.append(_named("diet", one.get("baseFormulaType"), one.get("baseFormulaProductName"), one.get("administrationInstruction")))
        said.append(_named("diet", one.get("additiveType"), one.get("additiveProductName"), None))
        said += [_named("diet", held.get("type"), held.get("productName"), None) for held in objects(one.get("additive"))]  # R5
    said += [("exclusion", *coded(one)) for one in objects(resource.get("excludeFoodModifier"))]
    said += [("preference", *coded(one)) for one in objects(resource.get("foodPreferenceModifier"))]
    for one in objects(resource.get("allergyIntolerance")):
        known = context.tree.find(one, resource)
        if known is None:
            said.append(("allergy", None, text_of(one.get("display"))))
        elif kind_of(known) == "AllergyIntolerance" and (reference_of(one) or "").startswith("#"):
            read_allergy(known, reading, context)  # the others of a bundle speak for themselves
    found = [DietaryPreference(kind, code, text, status=status) for kind, code, text in said if code or text]
    if not found:
        context.warn("diet_not_understood", context.tree.place(resource))
    reading.dietary_preferences += found


def coded(concept: object) -> tuple[Coding | None, str | None]:
    """A concept as its code and its words."""
    return read_code(concept), concept_text(concept)


def _oral(diet: Resource) -> list[Said]:
    """Types, nutrients with their amounts, textures with the food that they are for, consistency of fluids; else the instruction."""
    said: list[Said] = [("diet", *coded(one)) for one in objects(diet.get("type"))]
    for one in objects(diet.get("nutrient")):
        code, text = coded(one.get("modifier"))
        amounts = [value_text(read_quantity(amount)) for amount in objects(one.get("amount"))]
        said.append(("diet", code, _joined(text, *amounts)))
    for one in objects(diet.get("texture")):
        code, text = coded(one.get("modifier"))
        food = concept_text(one.get("foodType"))
        said.append(("diet", code, f"{text} ({food})" if text and food and text != food else text or food))
    said += [("diet", *coded(one)) for one in objects(diet.get("fluidConsistencyType"))]
    instruction = text_of(diet.get("instruction"))
    if instruction and not any(code or text for _, code, text in said):
        said.append(("diet", None, instruction))
    return said


def _named(kind: DietKind, concept: object, product: object, instruction: object) -> Said:
    """A supplement or a formula: its type, the product that is named, else how it is to be given."""
    code, text = coded(concept)
    return kind, code, _joined(text, text_of(product)) or (None if code else text_of(instruction))


def _joined(*texts: str | None) -> str | None:
    return " ".join(dict.fromkeys(one for one in texts if one)) or None
