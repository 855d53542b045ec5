"""What one server can do, from its CapabilityStatement (R4, GET /metadata), and where that falls short of the profile. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.carepatron_writer.platforms.port import Drift

NEEDED = {
    "DocumentReference": ("create", "read", "update", "search-type"),
    "Patient": ("create", "read", "update", "search-type"),
}
_SCOPE = re.compile(r"system/(?P<kind>\*|[A-Za-z]+)\.(?P<rights>read|write|\*|[cruds]+)")
SEARCHED: Mapping[str, tuple[tuple[str, ...], ...]] = {  # one of each
    "DocumentReference": (("identifier",), ("patient",)),
    "Patient": (("identifier",), ("name", "family"), ("email", "telecom")),
}


@dataclass(frozen=True, slots=True)
class Abilities:
    """How one resource type may be written."""

    conditional_create: bool = False  # POST + If-None-Exist
    conditional_update: bool = False  # PUT [type]?criteria
    update_create: bool = False  # PUT [type]/[id] with an id of ours
    is_versioned: bool = True  # there are versions to name in If-Match


@dataclass(frozen=True, slots=True)
class Features:
    """A server's abilities. Without a statement: the most careful way, which needs nothing but create, read, update and search."""

    documents: Abilities = Abilities()
    patients: Abilities = Abilities()
    binaries: Abilities = Abilities()
    has_transactions: bool = False
    patient_searches: frozenset[str] = frozenset()


def features_of(statement: Mapping[str, Any]) -> Features:
    """The abilities that a CapabilityStatement claims; what it does not say is not there."""
    rest = _rest(statement)
    found = {kind: _abilities(_resource(rest, kind)) for kind in ("DocumentReference", "Patient", "Binary")}
    searches = frozenset(_names(_resource(rest, "Patient")))
    return Features(found["DocumentReference"], found["Patient"], found["Binary"], "transaction" in _codes(rest), searches)


def drifts(statement: Mapping[str, Any], granted: Sequence[str] | None = None, wanted: Sequence[str] = ()) -> tuple[Drift, ...]:
    """Where a server does not offer what the adapter needs. `granted` are the scopes of the token, which may be fewer than asked."""
    found: list[Drift] = []
    version = str(statement.get("fhirVersion") or "nothing")
    if not version.startswith("4.0"):
        found.append(Drift("fhirVersion", "4.0", _word(version)))
    rest = _rest(statement)
    for kind, needed in NEEDED.items():
        resource = _resource(rest, kind)
        missing = [one for one in needed if one not in _codes(resource)]
        found += [Drift(f"rest.resource({kind}).interaction", one, "not offered") for one in missing]
        names = _names(resource)
        lacking = [" or ".join(one) for one in SEARCHED[kind] if not names & set(one)]
        found += [Drift(f"rest.resource({kind}).searchParam", one, "not offered") for one in lacking]
        if resource.get("versioning") == "no-version":
            found.append(Drift(f"rest.resource({kind}).versioning", "versioned", "no-version"))
    abilities = _abilities(_resource(rest, "DocumentReference"))
    if not (abilities.conditional_create or abilities.conditional_update or abilities.update_create):
        found.append(Drift("rest.resource(DocumentReference).conditionalCreate", "true", "false"))
    if granted is not None:
        found += [Drift("token.scope", one, "not granted") for one in wanted if not _is_granted(one, granted)]
    return tuple(found)


def _is_granted(wanted: str, granted: Sequence[str]) -> bool:
    """Whether scopes cover one: SMART names resources or `*`, and letters of cruds; its first version said read, write and `*`."""
    asked = _SCOPE.fullmatch(wanted)
    if asked is None:
        return wanted in granted
    have: set[str] = set()
    for match in filter(None, map(_SCOPE.fullmatch, granted)):
        if match["kind"] in ("*", asked["kind"]):
            have |= set({"read": "rs", "write": "cud", "*": "cruds"}.get(match["rights"], match["rights"]))
    return set({"read": "rs", "write": "cud", "*": "cruds"}.get(asked["rights"], asked["rights"])) <= have


def _abilities(resource: Mapping[str, Any]) -> Abilities:
    return Abilities(
        conditional_create=resource.get("conditionalCreate") is True,
        conditional_update=resource.get("conditionalUpdate") is True,
        update_create=resource.get("updateCreate") is True,
        is_versioned=resource.get("versioning") != "no-version",
    )


def _rest(statement: Mapping[str, Any]) -> Mapping[str, Any]:
    servers = [one for one in _rows(statement.get("rest")) if one.get("mode", "server") == "server"]
    return servers[0] if servers else {}


def _resource(rest: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((one for one in _rows(rest.get("resource")) if one.get("type") == kind), {})


def _codes(holder: Mapping[str, Any]) -> set[Any]:
    return {one.get("code") for one in _rows(holder.get("interaction"))}


def _names(resource: Mapping[str, Any]) -> set[str]:
    return {str(one.get("name")) for one in _rows(resource.get("searchParam"))}


def _rows(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _word(text: str) -> str:
    return text if text.replace(".", "").replace("-", "").isalnum() and len(text) < 40 else "something else"
