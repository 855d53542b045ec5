"""FHIR as a tree: what its values are, and resources found by reference."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from shared.formats.fhir_json import Number
from shared.formats.fhir_xml import Resource as Resource

MAX_NESTED = 3  # bundles inside bundles
_REFERENCE = re.compile(r"(?:^|/)([A-Z][A-Za-z]+/[A-Za-z0-9.\-]{1,64})(?:/_history/[^/]*)?$")


def listed(value: Any) -> list[Any]:
    """A list as it is, None as nothing, a single value as a list of one."""
    return value if isinstance(value, list) else [] if value is None else [value]


def objects(value: Any) -> list[Resource]:
    """The objects of a list, or of a single value."""
    if value is None:
        return []
    return [one for one in value if type(one) is dict] if type(value) is list else [value] if type(value) is dict else []


def text_of(value: Any) -> str | None:
    """A primitive as text; None for anything else and for the empty string."""
    if value.__class__ is str:
        text: str = value
    elif value.__class__ is Number:
        text = str(value)
    else:
        return str(value) if value.__class__ is int else None
    if "\0" in text:
        text = text.replace("\0", "")  # PostgreSQL stores no NUL
    return text.strip() or None


def kind_of(resource: Resource) -> str:
    """The resource's type; empty when it says none that could be one."""
    kind = resource.get("resourceType")
    return _kind(kind) if type(kind) is str else ""


@lru_cache(maxsize=256)
def _kind(text: str) -> str:
    return text if text.isascii() and text.isalpha() and len(text) <= 40 else ""


def tail(reference: str) -> str:
    """`Patient/1` of an absolute or versioned reference; other texts unchanged."""
    found = _REFERENCE.search(reference)
    return found[1] if found else reference


def reference_of(value: Any) -> str | None:
    """The literal text of a Reference."""
    return text_of(value.get("reference")) if isinstance(value, dict) else None


def moment(text: str | None, time_zone: str) -> datetime | None:
    """The moment at which a dateTime begins, whatever its precision; without a zone it takes the provider's. None when it is none."""
    if not text or not text[:4].isdigit():
        return None
    try:
        begin = datetime.fromisoformat(f"{text}-01-01" if len(text) == 4 else f"{text}-01" if len(text) == 7 else text)
        return (begin if begin.tzinfo else begin.replace(tzinfo=ZoneInfo(time_zone))).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


@dataclass(slots=True)
class Tree:
    """The resources at hand with their places, found by the references to them."""

    root: Resource
    resources: list[Resource] = field(default_factory=list)
    urls: list[str | None] = field(default_factory=list)  # fullUrl, beside each resource
    places: dict[int, str] = field(default_factory=dict)  # FHIRPath by identity of the resource
    by_reference: dict[str, Resource] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)  # places of entries without a resource and of bundles nested too deeply
    _contained: dict[int, dict[str, Resource]] = field(default_factory=dict)  # by identity of the resource that contains, or is contained

    @property
    def is_document(self) -> bool:
        """Whether it is a document bundle."""
        return self.root.get("type") == "document" and kind_of(self.root) == "Bundle"

    def find(self, reference: Any, holder: Resource) -> Resource | None:
        """The resource behind a Reference: contained, by full URL, by type and id. Nothing is fetched."""
        text = reference_of(reference)
        return None if text is None else self.named(text, holder)

    def named(self, text: str, holder: Resource) -> Resource | None:
        """The resource of that name."""
        if text.startswith("#"):
            return self._inside(holder).get(text)
        return self.by_reference.get(text) or self.by_reference.get(tail(text))

    def _inside(self, holder: Resource) -> dict[str, Resource]:
        """What a resource contains. What is contained refers to its siblings in the same way."""
        found = self._contained.get(id(holder))
        if found is None:
            contained = objects(holder.get("contained"))
            found = {f"#{text_of(one.get('id'))}": one for one in contained}
            for one in (holder, *contained):
                self._contained[id(one)] = found
        return found

    def place(self, resource: Resource) -> str:
        """Where a resource that is read stands, as FHIRPath."""
        return self.places.get(id(resource)) or kind_of(resource)


def plant(root: Resource) -> Tree:
    """The tree of a bundle or of a single resource. Of several versions of one resource (history bundles) the latest counts."""
    tree = Tree(root)
    known: dict[tuple[str, str | None], int] = {}
    for place, url, resource in _walk(root, tree.unread, "Bundle", 0):
        own = text_of(resource.get("id"))
        name = f"{kind_of(resource)}/{own}" if own else None
        new = len(tree.resources)
        at = known.setdefault((name, url), new) if name else new
        if at < new:
            if version_order(resource) <= version_order(tree.resources[at]):
                continue
            tree.resources[at] = resource
        else:
            tree.resources.append(resource)
            tree.urls.append(url)
        tree.places[id(resource)] = place
        if name:
            tree.by_reference[name] = resource
        if url:
            tree.by_reference[url] = resource
    return tree


def version_number(resource: Resource) -> int:
    """`meta.versionId` where it is a number; 0 where it is opaque or absent."""
    meta = resource.get("meta")
    version = text_of(meta.get("versionId")) if isinstance(meta, dict) else None
    return int(version) if version and version.isascii() and version.isdigit() and len(version) <= 18 else 0


def last_updated(resource: Resource) -> str | None:
    """`meta.lastUpdated`."""
    meta = resource.get("meta")
    return text_of(meta.get("lastUpdated")) if isinstance(meta, dict) else None


def version_order(resource: Resource) -> tuple[int, str]:
    """What the versions of one resource are ordered by."""
    return version_number(resource), last_updated(resource) or ""


def _walk(tree: Resource, unread: list[str], place: str, depth: int) -> Iterator[tuple[str, str | None, Resource]]:
    if kind_of(tree) != "Bundle":
        yield kind_of(tree), None, tree
        return
    for number, entry in enumerate(listed(tree.get("entry"))):
        here = f"{place}.entry[{number}]"
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(resource, dict) or not kind_of(resource):
            unread.append(here)
        elif kind_of(resource) != "Bundle":
            yield f"{here}.resource", text_of(entry.get("fullUrl")), resource
        elif depth < MAX_NESTED:
            yield from _walk(resource, unread, f"{here}.resource", depth + 1)
        else:
            unread.append(here)
