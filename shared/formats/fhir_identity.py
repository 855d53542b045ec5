"""Which documents a FHIR tree holds, what each is known by whatever its version, and how its versions are ordered."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec

from shared.canonical.reading import ProviderProfile
from shared.formats.fhir_subjects import identifier_type
from shared.formats.fhir_tree import Resource, Tree, kind_of, last_updated, moment, objects, reference_of, tail, text_of, version_number
from shared.identity import digest, document_id, source_version

ONE_STEP = 10**18  # a document that replaces another sorts after every version of it
MAX_STEPS = 9


class Kind(NamedTuple):
    """A kind of document: the prefix of its versions, the elements that tell when it was edited, its ranks by status."""

    prefix: str
    edited: tuple[str, ...]
    ranks: dict[str, int]


# a later state of a document sorts higher; https://hl7.org/fhir/R4/valueset-diagnostic-report-status.html and its siblings
_REPORT_RANKS = {
    "registered": 1,
    "partial": 2,
    "preliminary": 3,
    "modified": 4,
    "final": 5,
    "appended": 6,
    "amended": 6,
    "corrected": 7,
    "cancelled": 8,
    "entered-in-error": 9,
}
_REFERENCE_RANKS = {
    "registered": 1,
    "partial": 1,
    "preliminary": 1,
    "final": 2,
    "amended": 3,
    "appended": 3,
    "corrected": 3,
    "superseded": 4,
    "deprecated": 4,
    "cancelled": 8,
    "entered-in-error": 9,
}
KINDS: dict[str, Kind] = {
    "Composition": Kind("composition", ("date",), _REPORT_RANKS),
    "DocumentReference": Kind("docref", ("date", "indexed", "created"), _REFERENCE_RANKS),
    "DiagnosticReport": Kind("report", ("issued", "effectiveDateTime", "effectivePeriod"), _REPORT_RANKS),
    "CarePlan": Kind("careplan", ("created", "modified"), {"completed": 1, "revoked": 2, "entered-in-error": 9}),
    "Media": Kind("media", ("issued", "createdDateTime", "createdPeriod"), {"completed": 5, "entered-in-error": 9}),
    "Observation": Kind("observation", ("issued", "effectiveDateTime", "effectivePeriod", "effectiveInstant"), _REPORT_RANKS),
    "Binary": Kind("binary", (), {}),
}


class Parts(NamedTuple):
    """The resources that are documents, in the order in which they are read, and the observations of social history."""

    documents: list[Resource]
    social: list[Resource]


def parts_of(tree: Tree) -> Parts:
    """What stands for itself: compositions first, then references, reports, plans, media, observations.

    What a document bundle's composition refers to, the observations of a report or a panel, and the bytes behind an attachment are
    parts of that document. An observation of social history is a fact about the patient and no document.
    """
    by_kind: dict[str, list[Resource]] = {kind: [] for kind in KINDS}
    for one in tree.resources:
        if (kind := kind_of(one)) in by_kind:
            by_kind[kind].append(one)
    inner: set[int] = set()
    for one in by_kind["Composition"]:
        inner |= _targets(tree, one, section_entries(one), None if tree.is_document else "Observation")
    for one in by_kind["DiagnosticReport"]:
        inner |= _targets(tree, one, objects(one.get("result")))
        inner |= _targets(tree, one, media_of(one))
    panels = [one for one in by_kind["Observation"] if members_of(one)]
    for one in panels:
        inner |= _targets(tree, one, members_of(one)) - {id(one)}
    if len(tree.resources) > 1:
        inner.update(id(one) for one in by_kind["Binary"])
    found = [one for kind in KINDS for one in by_kind[kind] if id(one) not in inner]
    social = [one for one in found if is_social(one)]
    if social:
        held = {id(one) for one in social}
        found = [one for one in found if id(one) not in held]
    return Parts(found or panels[: not social], social)  # panels that hold one another have no outermost


def is_social(observation: Resource) -> bool:
    """Whether it is an observation of social history."""
    if kind_of(observation) != "Observation":
        return False
    return any(one.get("code") == "social-history" for held in objects(observation.get("category")) for one in objects(held.get("coding")))


def members_of(observation: Resource) -> list[Resource]:
    """The references of a panel to its observations (`related` in STU3)."""
    members = objects(observation.get("hasMember"))
    if "related" in observation:
        related = (one.get("target") for one in objects(observation["related"]) if one.get("type") == "has-member")
        members += [one for one in related if isinstance(one, dict)]
    return members


def media_of(report: Resource) -> list[Resource]:
    """The references of a report to its pictures (`image` in STU3)."""
    if "media" not in report and "image" not in report:
        return []
    return [link for name in ("media", "image") for one in objects(report.get(name)) for link in objects(one.get("link"))]


def section_entries(composition: Resource) -> Iterator[Resource]:
    """The references of a composition's sections, at any depth, in order."""
    waiting = list(reversed(objects(composition.get("section"))))
    while waiting:
        section = waiting.pop()
        yield from objects(section.get("entry"))
        waiting += reversed(objects(section.get("section")))


def _targets(tree: Tree, holder: Resource, references: Iterable[Resource], only: str | None = None) -> set[int]:
    found = (tree.find(one, holder) for one in references)
    return {id(one) for one in found if one is not None and only in (None, kind_of(one))}


def document_key(resource: Resource, tree: Tree, provider: ProviderProfile) -> tuple[str, int]:
    """The key of a document whatever its version, and how many documents it has replaced.

    The identifier of a replaced document goes first, then a configured business identifier, a report's filler number or a
    composition's identifier, then the reference to a replaced document, then type and id. Without any id: an identifier, else the
    digest of the resource.
    """
    kind = kind_of(resource)
    steps = 0
    seen = {id(resource)}
    while True:
        target = next(iter(related(resource, "replaces")), None)
        reference = reference_of(target)
        if target is not None and reference is None:
            return related_key(target, kind), steps + 1
        if (found := _business_key(resource, kind, provider)) is not None:
            return found, steps
        if reference is None:
            break
        known = tree.named(reference, resource)
        if (kind_of(known) if known else tail(reference).partition("/")[0]) != kind:
            break  # another kind of document counts its versions differently
        steps += 1
        if known is None or id(known) in seen or steps == MAX_STEPS:
            return tail(reference), steps
        seen.add(id(known))
        resource = known
    if own := text_of(resource.get("id")):
        return f"{kind}/{own}", steps
    for one in (*objects(resource.get("masterIdentifier")), *objects(resource.get("identifier"))):
        if key := _identifier_key(kind, one):
            return key, steps
    return f"sha256:{digest(msgspec.json.encode(resource, enc_hook=str))}", steps


def _business_key(resource: Resource, kind: str, provider: ProviderProfile) -> str | None:
    for one in objects(resource.get("identifier")):
        system = text_of(one.get("system"))
        is_filler = kind == "DiagnosticReport" and identifier_type(one) == "FILL"
        is_configured = system is not None and system in provider.business_systems
        if (is_filler or is_configured or kind == "Composition") and (key := _identifier_key(kind, one)):
            return key
    return None


def _identifier_key(kind: str, identifier: Resource) -> str | None:
    value = text_of(identifier.get("value"))
    return f"{kind}|{text_of(identifier.get('system')) or ''}|{value}" if value else None


def related(resource: Resource, wanted: str) -> list[Resource]:
    """The targets of `relatesTo` with that code, each with a reference or an identifier."""
    found: list[Resource] = []
    for one in objects(resource.get("relatesTo")):
        code = one.get("code") or one.get("type")  # a CodeableConcept, or a RelatedArtifact in R5
        if isinstance(code, dict):
            code = next((text_of(coding.get("code")) for coding in objects(code.get("coding"))), None)
        if code != wanted:
            continue
        target = one.get("target") or one.get("targetReference") or one.get("resourceReference")
        reference = reference_of(target)
        if reference and not reference.startswith("#"):
            found.append({"reference": reference})
            continue
        identifier = target.get("identifier") if isinstance(target, dict) else one.get("targetIdentifier")
        if isinstance(identifier, dict) and text_of(identifier.get("value")):
            found.append({"identifier": identifier})
    return found


def related_key(target: Resource, kind: str) -> str:
    """The key of a related document, as far as the relation tells."""
    reference = reference_of(target)
    return tail(reference) if reference else _identifier_key(kind, target["identifier"]) or kind


def begin_of(resource: Resource, *names: str) -> str | None:
    """The first of these dateTimes or Periods, as written."""
    for name in names:
        value = resource.get(name)
        if isinstance(value, dict):
            value = value.get("start") or value.get("end")
        if text := text_of(value):
            return text
    return None


def status_rank(resource: Resource) -> int:
    """How late in a document's life its status is: the later of `status` and `docStatus`."""
    ranks = KINDS[kind_of(resource)].ranks
    return max(ranks.get(text_of(resource.get(name)) or "", 0) for name in ("status", "docStatus"))


def edit_time(resource: Resource, provider: ProviderProfile) -> datetime | None:
    """meta.lastUpdated, else the resource's own time of edit."""
    return moment(last_updated(resource) or begin_of(resource, *KINDS[kind_of(resource)].edited), provider.time_zone)


class Identity(NamedTuple):
    """Id and version of a document."""

    document_id: str
    source_version: str
    key: str


def identify(resource: Resource, tree: Tree, provider: ProviderProfile) -> Identity:
    """Id and version of one of `documents_of`."""
    key, steps = document_key(resource, tree, provider)
    number = version_number(resource) + steps * ONE_STEP
    version = source_version(KINDS[kind_of(resource)].prefix, number, edit_time(resource, provider), status_rank(resource))
    return Identity(document_id(provider.provider_id, key), version, key)
