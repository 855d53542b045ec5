"""Which canonical type a document has, by the source's codings: LOINC first, then local type, diagnostic service, title words."""

from collections.abc import Sequence

from services.normalizer.mappings.tables import load_table
from shared.canonical.elements import Coding

LOINC_SYSTEMS = frozenset({"http://loinc.org", "urn:oid:2.16.840.1.113883.6.1", "2.16.840.1.113883.6.1", "LN", "LOINC"})
OTHER = "other"
_TABLE = load_table("document_types")


def classify_document(
    codings: Sequence[Coding], *, local_type: str | None = None, diagnostic_service: str | None = None, title: str | None = None
) -> str:
    """The canonical type. `local_type` is TXA-2 (table 0270), `diagnostic_service` OBR-24 or a report's category (table 0074)."""
    for coding in codings:
        for one in (coding, *coding.translations):
            if one.code and (one.system is None or one.system in LOINC_SYSTEMS):
                found = _TABLE["loinc"].get(one.code)
                if found:
                    return str(found)
    if local_type and (found := _TABLE["local_types"].get(local_type.upper())):
        return str(found)
    if diagnostic_service and (found := _TABLE["diagnostic_services"].get(diagnostic_service.upper())):
        return str(found)
    if title:
        lower = title.lower()
        for word, found in _TABLE["title_words"].items():
            if word in lower:
                return str(found)
    return OTHER


def title_of(type: str) -> str:
    """What a document without a title of its own is called."""
    return str(_TABLE["titles"].get(type, _TABLE["titles"][OTHER]))
