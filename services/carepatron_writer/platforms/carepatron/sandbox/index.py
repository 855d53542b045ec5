"""Where contacts are found: by reference, e-mail or name, as the contract's criteria ask."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from services.carepatron_writer.platforms.carepatron.sandbox.entities import Contact


class Index:
    """Ids of contacts by what they are searched by, in the order in which they came."""

    def __init__(self) -> None:
        self._found_by: dict[tuple[str, ...], dict[str, None]] = {}

    def add(self, contact: Contact) -> None:
        """From now on it is found."""
        for place in _places_of(contact):
            self._found_by.setdefault(place, {})[contact.id] = None

    def remove(self, contact: Contact) -> None:
        """It is about to change."""
        for place in _places_of(contact):
            self._found_by.get(place, {}).pop(contact.id, None)

    def search(self, account: str, criteria: Iterable[Mapping[str, Any]]) -> list[str]:
        """Ids that match any of the criteria, those of the first criterion first."""
        found: dict[str, None] = {}
        for one in criteria:
            found.update(self._found_by.get((account, *_place_of(one)), {}))
        return list(found)


def _places_of(contact: Contact) -> Iterator[tuple[str, ...]]:
    body = contact.body
    criteria: list[Mapping[str, Any]] = [{"externalReference": one} for one in body.get("externalReferences", ())]
    criteria += [{"email": body.get("email")}, {"firstName": body["firstName"], "lastName": body["lastName"]}]
    for one in criteria:
        place = _place_of(one)
        if any(place[1:]):
            yield contact.account, *place


def _place_of(criterion: Mapping[str, Any]) -> tuple[str, ...]:
    """Where contacts that match a criterion are listed."""
    if "externalReference" in criterion:
        return "reference", criterion["externalReference"]["system"], criterion["externalReference"]["value"]
    if "email" in criterion:
        return "email", (criterion["email"] or "").strip().casefold()
    return "name", criterion["firstName"].strip().casefold(), criterion["lastName"].strip().casefold()
