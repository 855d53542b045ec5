"""Coded values of CDA (CD, CE, CV, CS): codes with their systems and translations, and what they say in words."""

from services.normalizer.mappings.tables import load_table
from services.normalizer.readers.ccda_context import Context
from shared.canonical.elements import Coding
from shared.formats.cda_tree import Element, attribute, child, children
from shared.identity import normalize_system

_BY_OID: dict[str, str] = load_table("ccda_systems")["by_oid"]
_BY_NAME: dict[str, str] = load_table("ccda_systems")["by_name"]
# null flavors that some write as codes
_NO_CODES = frozenset(("UNK", "NI", "NA", "OTH", "NAV", "ASKU", "NASK", "MSK", "null", "NULL"))


def read_coding(element: Element | None) -> Coding | None:
    """CD with its translations; a code that is null gives way to its first translation. None when nothing is coded."""
    if element is None:
        return None
    main = plain_coding(element)
    if not len(element):
        return main
    found = [one for each in children(element, "translation") if (one := plain_coding(each))]
    if main is None and found:
        main = found.pop(0)
    if main is not None:
        main.translations = found
    return main


def plain_coding(element: Element) -> Coding | None:
    """The code of one element without its translations."""
    code = attribute(element, "code")
    if code is None or code in _NO_CODES:
        return None
    oid = attribute(element, "codeSystem")
    system = _BY_OID.get(oid) or _BY_NAME.get(oid.lower()) or normalize_system(oid) if oid else None
    if system is None and (name := attribute(element, "codeSystemName")):
        system = _BY_NAME.get(name.lower())
    return Coding(system, code, attribute(element, "displayName"))


def wording(element: Element | None, context: Context) -> str | None:
    """What a coded element says in words: the original text, else its display, else a translation's.

    Where the original text is a whole row of a table the display goes first: the row says other things too.
    """
    if element is None:
        return None
    display = attribute(element, "displayName")
    if not len(element):
        return display
    original = child(element, "originalText")
    text = context.text(original)
    if text and not (display and context.is_passage(original)):
        return text
    display = display or next((one for each in children(element, "translation") if (one := attribute(each, "displayName"))), None)
    return display or text or _translated_wording(element, context)


def _translated_wording(element: Element, context: Context) -> str | None:
    """The original text of a translation, where some put it."""
    return next((text for one in children(element, "translation") if (text := context.text(child(one, "originalText")))), None)
