"""What the entries of a CDA section are: by its code, else by its templates, else by its title."""

from services.normalizer.mappings.tables import load_table
from shared.formats.cda_tree import Element, attribute, children

_TABLE = load_table("ccda_sections")
_KINDS: dict[str, str] = _TABLE["kinds"]
_TEMPLATES: dict[str, str] = _TABLE["templates"]
_TITLES: dict[str, str] = _TABLE["titles"]


def section_kind(section: Element, code: str | None, title: str | None) -> str | None:
    """The kind of a section; None for one whose statements must name a template of their own."""
    if found := _KINDS.get(code or ""):
        return found
    roots = (attribute(one, "root") for one in children(section, "templateId"))
    by_template = next((kind for one in roots if (kind := _TEMPLATES.get(one or ""))), None)
    return by_template or _TITLES.get(" ".join((title or "").lower().rstrip(":").split()))
