"""HL7 v2 names and addresses: XPN, XCN, XAD."""

from shared.canonical.elements import Address, HumanName, OtherName
from shared.formats.hl7v2 import Field

NAME_USES = {"M": "maiden", "B": "maiden", "N": "nickname", "A": "alias", "S": "pseudonym", "D": "usual"}


def read_name(field: Field) -> HumanName | None:
    """An XPN; placeholders and empty repetitions give none."""
    family, given = field.text(1), [one for one in (field.text(2), field.text(3)) if one]
    if family is None and not given:
        return None
    name = HumanName(family, given, _listed(field.text(5)), [*_listed(field.text(4)), *_listed(field.text(6))])
    name.text = " ".join([*name.prefix, *given, *_listed(family), *name.suffix])
    return name


def read_other_name(field: Field) -> OtherName | None:
    """An XPN that is not the name in use, with its use from XPN-7."""
    name = read_name(field)
    return None if name is None else OtherName(name.family, name.given, NAME_USES.get((field.text(7) or "").upper()))


def read_person(field: Field) -> str | None:
    """An XCN as people write it: prefix, given, family."""
    family, given, prefix = field.text(2), field.text(3), field.text(6)
    return " ".join(one for one in (prefix, given, family) if one) or field.text(1)


def read_address(field: Field) -> Address | None:
    """An XAD."""
    lines = [one for one in (field.text(1), field.text(2)) if one]
    made = Address(lines, field.text(3), field.text(4), field.text(5), field.text(6))
    if not (lines or made.city or made.state or made.postal_code or made.country):
        return None
    made.use = {"H": "home", "B": "work", "O": "work", "M": "mailing", "C": "temporary", "P": "home"}.get((field.text(7) or "").upper())
    return made


def _listed(text: str | None) -> list[str]:
    return [text] if text else []
