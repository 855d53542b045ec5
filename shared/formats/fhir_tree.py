"""FHIR as a tree: decoded with the digits as written, resources found by reference."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from shared.formats.fhir_xml import Resource as Resource
from shared.formats.fhir_xml import is_xml, read_tree
from shared.formats.xml import RefusedXML
from shared.outcomes import Reason

BLANK = b"\xef\xbb\xbf \t\r\n"
MAX_NESTED = 3  # bundles inside bundles
_POSITION = re.compile(r"\(byte (\d+)\)")
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\],:]', re.DOTALL)
_REFERENCE = re.compile(r"(?:^|/)([A-Z][A-Za-z]+/[A-Za-z0-9.\-]{1,64})(?:/_history/[^/]*)?$")


class Number(str):
    """A JSON number with the digits that were written."""

    __slots__ = ()


class NotJson(Exception):
    """The bytes are neither JSON nor XML that is read; `where` is `byte N`, `line N`, `depth`, or nothing."""

    def __init__(self, where: str | None, reason: Reason = Reason.MALFORMED_JSON) -> None:
        super().__init__(where)
        self.where = where
        self.reason = Reason.TOO_DEEP if where == "depth" else reason


_DECODER = msgspec.json.Decoder(float_hook=Number)


def decode(content: bytes) -> Any:
    """The JSON value, decimals as `Number`; XML as the JSON of the same resource. Raises NotJson, never anything else.

    An object that says one name twice is refused: readers would differ in which value counts.
    """
    if is_xml(content):
        try:
            return read_tree(content)
        except RefusedXML as refusal:
            raise NotJson(refusal.where, refusal.reason) from None
    body = content.strip(BLANK)
    skipped = content.find(body[:1]) if body else 0
    try:
        tree = _DECODER.decode(body)
    except RecursionError:
        raise NotJson("depth") from None
    except UnicodeDecodeError:
        raise NotJson(_undecodable(body, skipped)) from None
    except (msgspec.DecodeError, ValueError, OverflowError) as error:
        found = _POSITION.search(str(error))
        at = int(found[1]) if found else len(body) if "truncated" in str(error) else None  # a number without end has no place
        raise NotJson(None if at is None else f"byte {skipped + at}") from None
    if (repeated := repeated_name(body, tree)) is not None:
        raise NotJson(f"byte {skipped + repeated}")
    return tree


def _undecodable(body: bytes, skipped: int) -> str | None:
    """Where the bytes stop being UTF-8."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return f"byte {skipped + error.start}"
    return None


def _as_written(number: Number) -> msgspec.Raw:
    return msgspec.Raw(number.encode())


def encode(tree: Any) -> bytes:
    """The JSON of a tree, numbers with their digits as written."""
    return msgspec.json.encode(tree, enc_hook=_as_written)


def repeated_name(body: bytes, tree: Any) -> int | None:
    """Where an object of the JSON that gave this tree says a name for the second time: readers would differ in which value counts."""
    try:
        written = msgspec.json.encode(tree, enc_hook=_as_written)
    except (msgspec.EncodeError, TypeError, ValueError, OverflowError, RecursionError):
        written = b""
    # a lost name takes its two quotation marks along; the exact look is only for those few whose count differs
    if body.count(b'"') - body.count(b'\\"') == written.count(b'"') - written.count(b'\\"'):
        return None
    open_names: list[set[str] | None] = []  # of each open object the names said so far; None for an array
    is_name = False
    for found in _TOKEN.finditer(body):
        token = found[0]
        if token == b"{":
            open_names.append(set())
        elif token == b"[":
            open_names.append(None)
        elif token in (b"}", b"]"):
            open_names.pop()
        elif is_name and open_names and (names := open_names[-1]) is not None and token[:1] == b'"':
            name = msgspec.json.decode(token, type=str)
            if name in names:
                return found.start()
            names.add(name)
        is_name = token in (b"{", b",")
    return None


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
