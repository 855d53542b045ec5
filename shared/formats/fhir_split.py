"""Splitting FHIR: resources one after another by resource, bundles of several patients by patient; what is nobody's stays a part too."""

import re
from json import JSONDecoder
from typing import NamedTuple

import msgspec

from shared.formats.fhir_json import BLANK, NotJson, decode, encode
from shared.formats.fhir_subjects import Subjects, references_in
from shared.formats.fhir_tree import MAX_NESTED, Resource, Tree, kind_of, plant, tail, text_of
from shared.formats.fhir_xml import is_xml
from shared.formats.wide import narrow

# resources that say nothing about a patient by themselves
SHARED = frozenset(
    {
        *("Practitioner", "PractitionerRole", "Organization", "Location", "Medication", "Device", "Substance", "Endpoint"),
        *("HealthcareService", "MessageHeader", "OperationOutcome"),
    }
)
_STREAM = JSONDecoder()
_GAP = re.compile(r"[ \t\r\n\ufeff]*")
_RAW_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RAW_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_COUNTED = ("resourceType", "entry", "total", "link")  # true of the whole bundle only
_NOBODY = ""


def split_resources(content: bytes) -> list[bytes]:
    """The messages in the bytes; a single resource and a bundle about one patient are passed on unchanged.

    A broken line of ndjson is a part of its own. Resources that no patient of the bundle owns form a part too.
    """
    sent, content = content, content if is_xml(content) else narrow(content)
    try:
        tree = decode(content)
    except NotJson:
        several = _lines_of(content) or _documents_of(content)
        return [part for one in several for part in _split_one(one)] if several else [sent]
    if isinstance(tree, list) and tree and all(isinstance(one, dict) and kind_of(one) for one in tree):
        return [part for one in _RAW_LIST.decode(content.strip(BLANK)) for part in _split_one(bytes(one))]
    body = encode(tree) if is_xml(content) else content.strip(BLANK)  # the parts of XML are JSON
    return _split_tree(body, tree) or [sent]


def _split_one(resource: bytes) -> list[bytes]:
    try:
        return _split_tree(resource.strip(BLANK), decode(resource)) or [resource]
    except NotJson:
        return [resource]


def _lines_of(content: bytes) -> list[bytes] | None:
    """The lines of ndjson; None when no line is a resource by itself."""
    lines = [line for line in content.strip(BLANK).splitlines() if line.strip()]
    return lines if len(lines) > 1 and any(_is_resource(line) for line in lines) else None


def _is_resource(line: bytes) -> bool:
    if not line.lstrip(BLANK).startswith(b"{") or b'"resourceType"' not in line:
        return False
    try:
        tree = decode(line)
    except NotJson:
        return False
    return isinstance(tree, dict) and kind_of(tree) != ""


def _documents_of(content: bytes) -> list[bytes] | None:
    """The resources of a file that holds several JSON documents one after another; None when it holds anything else."""
    try:
        text = content.strip(BLANK).decode()
        found, at = [], 0
        while at < len(text):
            value, end = _STREAM.raw_decode(text, at)
            if not isinstance(value, dict) or not kind_of(value):
                return None
            found.append(text[at:end].encode())
            at = _GAP.match(text, end).end()  # type: ignore[union-attr]  # it matches nothing too
    except (ValueError, RecursionError):
        return None
    return found


class _Leaf(NamedTuple):
    """An entry with its resource, empty when it has none, and the way to it through bundles inside bundles."""

    path: tuple[int, ...]
    entry: Resource
    resource: Resource


def _split_tree(body: bytes, tree: object) -> list[bytes]:
    """The parts of a bundle; none when it is to stay whole."""
    if not isinstance(tree, dict) or kind_of(tree) != "Bundle" or tree.get("type") == "document":
        return []
    leaves = _leaves(tree, ())
    owners = _owners(leaves)
    patients = list(dict.fromkeys(one for some in owners for one in some if one != _NOBODY))
    documents = [one for one in leaves if kind_of(one.resource) == "Bundle"]
    if len(patients) + len(documents) < 2:
        return []
    raw = _Raw(body)
    parts: dict[str, list[bytes]] = {one: [] for one in (*patients, _NOBODY)}
    for one, some in zip(leaves, owners, strict=True):
        if kind_of(one.resource) != "Bundle":
            for owner in some or [*patients, _NOBODY][:1]:
                parts[owner].append(raw.entry(one.path))
    head = _head(body)
    return [_bundle(head, some) for some in parts.values() if some] + [raw.resource(one.path) for one in documents]


def _leaves(bundle: Resource, path: tuple[int, ...]) -> list[_Leaf]:
    """The entries of a bundle and of bundles inside it; a document bundle inside stays whole."""
    found: list[_Leaf] = []
    entries = bundle.get("entry")
    for number, one in enumerate(entries if isinstance(entries, list) else ()):
        entry: Resource = one if isinstance(one, dict) else {}
        held = entry.get("resource")
        resource: Resource = held if isinstance(held, dict) else {}
        if kind_of(resource) == "Bundle" and resource.get("type") != "document" and len(path) < MAX_NESTED:
            found += _leaves(resource, (*path, number))
        else:
            found.append(_Leaf((*path, number), entry, resource))
    return found


class _Raw:
    """The bytes of a bundle's entries, taken out as they stand."""

    def __init__(self, body: bytes) -> None:
        self._bundles: dict[tuple[int, ...], list[msgspec.Raw]] = {(): _RAW_LIST.decode(_RAW_OBJECT.decode(body)["entry"])}

    def entry(self, path: tuple[int, ...]) -> bytes:
        """One entry."""
        *way, number = path
        return bytes(self._entries(tuple(way))[number])

    def resource(self, path: tuple[int, ...]) -> bytes:
        """The resource of one entry."""
        return bytes(_RAW_OBJECT.decode(self.entry(path))["resource"])

    def _entries(self, way: tuple[int, ...]) -> list[msgspec.Raw]:
        if way not in self._bundles:
            self._bundles[way] = _RAW_LIST.decode(_RAW_OBJECT.decode(self.resource(way))["entry"])
        return self._bundles[way]


def _head(body: bytes) -> bytes:
    """The members of a bundle that are true of each part, ready to stand before its entries."""
    kept = [(name, bytes(raw)) for name, raw in _RAW_OBJECT.decode(body).items() if name not in _COUNTED]
    return b",".join([b'{"resourceType":"Bundle"', *(msgspec.json.encode(name) + b":" + raw for name, raw in kept)])


def _bundle(head: bytes, entries: list[bytes]) -> bytes:
    return head + b',"entry":[' + b",".join(entries) + b"]}"


def _owners(leaves: list[_Leaf]) -> list[list[str]]:
    """For each entry the patients whose it is. `""` stands for nobody; none at all: it concerns no one in particular (a practitioner)."""
    tree, numbers = _forest(leaves)
    subjects = Subjects(tree)
    owners: list[list[str]] = [[] for _ in leaves]
    for place, at in enumerate(numbers):
        if (owner := subjects.owner(place)) is not None:
            owners[at] = [owner]
    if len(subjects.found) < 2:
        return owners
    unowned = {at for at in numbers if not owners[at]}
    named: dict[str, int] = {}
    for place, at in enumerate(numbers):
        named[f"{kind_of(leaves[at].resource)}/{text_of(leaves[at].resource.get('id'))}"] = at
        named[tree.urls[place] or ""] = at
    links = {at: _links(leaves[at].resource, named) for at in numbers}
    _follow(owners, unowned, links)
    for at in unowned:
        if not owners[at]:
            reached = {owner for one in links[at] - unowned for owner in owners[one]}
            if len(reached) == 1:
                owners[at] = list(reached)
            elif kind_of(leaves[at].resource) not in SHARED:
                owners[at] = [_NOBODY]
    return owners


def _forest(leaves: list[_Leaf]) -> tuple[Tree, list[int]]:
    """Every entry with a resource, in all its versions, as a tree; and the entries' numbers."""
    bundle: Resource = {"resourceType": "Bundle", "entry": [one.entry for one in leaves]}
    numbers = [at for at, one in enumerate(leaves) if kind_of(one.resource) not in ("", "Bundle")]
    resources = [leaves[at].resource for at in numbers]
    urls = [text_of(leaves[at].entry.get("fullUrl")) for at in numbers]
    return Tree(bundle, resources, urls, by_reference=plant(bundle).by_reference), numbers


def _links(resource: Resource, named: dict[str, int]) -> set[int]:
    return {named[name] for one in references_in(resource) for name in (one, tail(one)) if name in named}


def _follow(owners: list[list[str]], unowned: set[int], links: dict[int, set[int]]) -> None:
    """What an owned resource refers to goes with it."""
    by_owner: dict[str, list[int]] = {}
    for at, some in enumerate(owners):
        for owner in some:
            by_owner.setdefault(owner, []).append(at)
    for owner, waiting in by_owner.items():
        seen: set[int] = set()
        while waiting:
            for one in (links.get(waiting.pop(), set()) & unowned) - seen:
                seen.add(one)
                owners[one].append(owner)
                waiting.append(one)
