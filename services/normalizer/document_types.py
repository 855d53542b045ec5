"""Which canonical type a document has, by the source's codings: LOINC first, then local type, diagnostic service, title words."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from services.normalizer.mappings.tables import load_table
from shared.canonical.elements import Coding

LOINC_SYSTEMS = frozenset({"http://loinc.org", "urn:oid:2.16.840.1.113883.6.1", "2.16.840.1.113883.6.1", "LN", "LOINC"})
OTHER = "other"
MAX_TITLE = 300  # characters; what stands behind them is no title
_TABLE = load_table("document_types")
_BETWEEN = re.compile(r"[^0-9a-z]+")


def classify_document(
    codings: Sequence[Coding],
    *,
    local_type: str | None = None,
    diagnostic_service: str | None = None,
    titles: Sequence[str | None] = (),
) -> str:
    """The canonical type. `local_type` is TXA-2 (table 0270), `diagnostic_service` OBR-24 or a report's category (table 0074).

    Of several titles the first counts that says a type.
    """
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
    return next((found for title in titles if title and (found := _by_words(title))), OTHER)


def title_of(type: str) -> str:
    """What a document without a title of its own is called."""
    return str(_TABLE["titles"].get(type, _TABLE["titles"][OTHER]))


def _pattern(word: str) -> re.Pattern[str]:
    """A row of `title_words` in a title as `_plain` gives it."""
    begin, end = ("" if word.startswith("*") else " "), ("" if word.endswith("*") else " ")
    return re.compile(re.escape(f"{begin}{word.strip('*')}{end}"))


_WORDS = [(_pattern(word), str(found)) for word, found in _TABLE["title_words"].items()]


@lru_cache(maxsize=4096)
def _by_words(title: str) -> str | None:
    plain = _plain(title)
    return next((found for pattern, found in _WORDS if pattern.search(plain)), None)


def _plain(title: str) -> str:
    """Words in small letters without accents, one space before, between and behind them."""
    folded = unicodedata.normalize("NFKD", title[:MAX_TITLE].casefold())
    bare = "".join(one for one in folded if not unicodedata.combining(one))
    return f" {_BETWEEN.sub(' ', bare).strip()} "
