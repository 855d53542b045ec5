"""Who wrote a document and who keeps it, by name."""

from services.normalizer.readers.fhir_values import Context
from shared.formats.fhir_tree import Resource, kind_of, listed, objects, text_of

_AUTHORS = ("author", "resultsInterpreter", "performer", "operator")


def authors_of(resource: Resource, context: Context) -> list[str]:
    """Authors by the names that the references show, else by the resources behind them."""
    names: list[str] = []
    for element in _AUTHORS:
        for one in objects(resource.get(element)):
            actor = one["actor"] if isinstance(one.get("actor"), dict) else one  # performer.actor in STU3
            if shown := _shown(actor, resource, context):
                names.append(shown)
    return list(dict.fromkeys(names))


def custodian_of(resource: Resource, context: Context) -> str | None:
    """The organization that keeps a document."""
    custodian = resource.get("custodian")
    return _shown(custodian, resource, context) if isinstance(custodian, dict) else None


def _shown(reference: Resource, holder: Resource, context: Context) -> str | None:
    """What a reference calls somebody, else the name of the resource behind it; of a role, of the person who has it."""
    if shown := text_of(reference.get("display")):
        return shown
    found = context.tree.find(reference, holder)
    if found is not None and kind_of(found) == "PractitionerRole":
        of_role = (found.get(name) for name in ("practitioner", "organization"))
        return next((shown for one in of_role if isinstance(one, dict) and (shown := _reference_name(one, found, context))), None)
    return _name_of(found)


def _reference_name(reference: Resource, holder: Resource, context: Context) -> str | None:
    return text_of(reference.get("display")) or _name_of(context.tree.find(reference, holder))


def _name_of(person: Resource | None) -> str | None:
    """The name of a practitioner, an organization or a device."""
    if person is None or kind_of(person) == "Patient":
        return None
    if shown := text_of(person.get("name")):
        return shown
    for name in (*objects(person.get("name")), *objects(person.get("deviceName"))):
        if shown := text_of(name.get("value")) or text_of(name.get("name")):  # of a device, in R5 and R4
            return shown
        parts = [text_of(one) for part in ("prefix", "given", "family", "suffix") for one in listed(name.get(part))]
        if shown := text_of(name.get("text")) or " ".join(one for one in parts if one):
            return shown
    return None
