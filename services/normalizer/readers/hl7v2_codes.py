"""HL7 v2 codes as canonical elements: coded fields, coding systems, units; the tables of the standard."""

from functools import lru_cache
from typing import Any

from services.normalizer.mappings.tables import load_table
from shared.canonical.elements import Coding
from shared.formats.hl7v2 import DELETED, Field
from shared.formats.hl7v2_separators import Separators

CODES: dict[str, dict[str, Any]] = load_table("hl7v2_codes")


def system_of(written: str | None) -> str | None:
    """A coding system as a URI where table 0396 knows it, as written where not."""
    return None if written is None else str(CODES["systems"].get(written.upper(), written))


def read_code(field: Field) -> Coding | None:
    """A CE or CWE: identifier, text, system, and the alternate in components 4 to 6 as a translation. Nobody may change what it gives."""
    return code_of(field.raw, field.separators) if field.raw else None


@lru_cache(maxsize=8192)
def code_of(raw: str, separators: Separators) -> Coding | None:
    """The first repetition of a field as `read_code` reads it. The same codes come again and again: each is read once."""
    field = _first(raw, separators)
    code, display, system = field.text(1), field.text(2), field.text(3)
    other = Coding(system_of(field.text(6)), field.text(4), field.text(5))
    alternates = [other] if other.code or other.display else []
    if code is None and display is None:
        return alternates[0] if alternates else None
    return Coding(system_of(system), code, display, alternates)


@lru_cache(maxsize=2048)
def unit_of(raw: str, separators: Separators) -> tuple[str | None, Coding | None]:
    """OBX-6: the unit as sent, and its UCUM code where the sender says that it is one."""
    field = _first(raw, separators)
    code, display, system = field.text(1), field.text(2), system_of(field.text(3))
    if code is None and display is None:
        return None, None
    if system and "unitsofmeasure" in system:
        return code or display, Coding(system, code, display)
    alternate = system_of(field.text(6))
    if alternate and "unitsofmeasure" in alternate:
        return code or display, Coding(alternate, field.text(4), field.text(5))
    return code or display, None


@lru_cache(maxsize=4096)
def first_text(raw: str, separators: Separators) -> str | None:
    """The first component of a field's first repetition that says anything, decoded; None when it is empty."""
    return _first(raw, separators).text(1)


def _first(raw: str, separators: Separators) -> Field:
    """The first repetition that says anything."""
    return Field(next((one for one in raw.split(separators.repetition) if one and one != DELETED), ""), separators)
