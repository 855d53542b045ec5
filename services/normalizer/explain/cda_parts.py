"""A CDA in parts: to read one entry alone costs little, and tells what a change inside it touches in the reading of the whole.

A part answers for the whole only where its items stand in the whole as they stand in the part: not where a statement is repeated
elsewhere, an entry points into another section, or a change makes an item that the whole has already. Then the whole is asked.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from typing import Any

import msgspec
from lxml import etree

from services.normalizer.explain.cda import Edit, edits_of, root_of
from services.normalizer.explain.differences import Touched, differences
from shared.formats.cda_tree import V3, Element, child, children, local_name

Described = dict[str, Any]
Ask = Callable[[bytes], Described]
HISTORY, DIET = "patients[0].medical_history", "patients[0].dietary_preferences"
SECTIONS, RESULTS, FILES = (f"documents[0].content.{name}" for name in ("sections", "results", "attachments"))
LISTS = (HISTORY, DIET, SECTIONS, RESULTS, FILES)
_ITEM = re.compile(rf"({'|'.join(map(re.escape, LISTS))})\[(\d+)\](.*)")
# of the header as far as a reading of a part needs it
_HEADER = frozenset(V3 + one for one in ("templateId", "id", "setId", "versionNumber", "code", "title", "effectiveTime", "recordTarget"))


def cda_effects(content: bytes, ask: Ask) -> Iterator[tuple[str, set[Touched]]]:
    """Each element of a CDA with the fields that it touches when it is changed, or else when it is absent."""
    root = root_of(content)
    if root is None:
        return
    whole = _Whole(root, ask(content), ask)
    for edit in edits_of(root):
        yield edit.path, whole.touched(edit)


class _Part:
    """A CDA of the header and one section or entry, with the way from its items and elements to those of the whole."""

    def __init__(self, root: Element, originals: Iterable[Element], copies: Iterable[Element], ask: Ask) -> None:
        self.root = root
        self.twins = dict(zip(originals, copies, strict=True))
        self.base = ask(etree.tostring(root))
        self.marks = Counter(_marks(self.base))
        self.places: dict[str, list[int | None]] = {}  # by list: where the items of the part stand in the whole; None: nowhere

    def items(self, name: str) -> list[Any]:
        return _items(self.base, name)

    def shifted(self, name: str) -> str:
        """A field of the part as a field of the whole."""
        found = _ITEM.fullmatch(name)
        return f"{found[1]}[{self.places[found[1]][int(found[2])]}]{found[3]}" if found else name


class _Whole:
    """A CDA and those parts of it that answer for it."""

    def __init__(self, root: Element, base: Described, ask: Ask) -> None:
        self._root = root
        self._base = base
        self._ask = ask
        self._homes: dict[Element, _Part] = {}  # by the element of the whole that the part holds
        self._marks: Counter[tuple[str, bytes]] = Counter()
        self._head: _Part | None = None
        body = next((one for each in children(root, "component") for one in children(each, "structuredBody")), None)
        if local_name(root) == "ClinicalDocument" and body is not None and base["documents"]:
            self._divide(body)

    def touched(self, edit: Edit) -> set[Touched]:
        """The fields that differ when an element is changed, or else when it is absent."""
        part = self._part_of(edit)
        for is_absent in (False, True):
            found = self._of_part(part, edit, is_absent=is_absent) if part is not None else None
            if found is None:
                source = edit.made(self._root, edit.element, is_absent=is_absent)
                found = set(differences(self._base, self._ask(source), "")) if source is not None else set()
            if found:
                return found
        return set()

    def _part_of(self, edit: Edit) -> _Part | None:
        """The smallest part that answers; none for a narrative, which others may point at."""
        if edit.name is None:
            return None
        for one in (edit.element, *edit.element.iterancestors()):
            if one in self._homes:
                return self._homes[one]
        return self._head if self._head is not None and edit.element in self._head.twins else None

    def _of_part(self, part: _Part, edit: Edit, *, is_absent: bool) -> set[Touched] | None:
        """What a part says of an edit; None when the whole must be asked."""
        source = edit.made(part.root, part.twins[edit.element], is_absent=is_absent)
        if source is None:
            return set()
        made = self._ask(source)
        found = set(differences(part.base, made, ""))
        if not found:
            return found
        if part is self._head or not _is_alike(made, part.base) or any(self._marks[one] > part.marks[one] for one in _marks(made)):
            return None
        return {(part.shifted(name), is_gone) for name, is_gone in found}

    def _divide(self, body: Element) -> None:
        """Find the parts that answer, sections and their entries."""
        self._head = self._cut([])
        components = [one for one in children(body, "component") if child(one, "section") is not None]
        sections = [self._cut([one]) for one in components]
        for name in LISTS:
            items = _items(self._base, name)
            _place(sections, name, items, list(range(len(items))))
        homes = dict(zip(components, sections, strict=True))
        for component, around in zip(components, sections, strict=True):
            entries = self._cut_entries(component, around)
            homes |= entries
            # a statement that a section repeats stands in its reading only once
            around.marks |= sum((Counter(dict(_beside_sections(one.marks))) for one in entries.values()), Counter())
            self._marks += around.marks
        self._homes = {element: part for element, part in homes.items() if self._answers(part)}

    def _cut_entries(self, component: Element, around: _Part) -> dict[Element, _Part]:
        """The parts of a section of several entries and no section inside."""
        section = child(component, "section")
        entries = list(children(section, "entry")) if section is not None else []
        if section is None or len(entries) < 2 or child(section, "component") is not None:
            return {}
        parts = [self._cut([component, section, one]) for one in entries]
        for name, places in around.places.items():
            if name != SECTIONS:
                _place(parts, name, around.items(name), places)
        shown = Counter({mark: count for mark, count in around.marks.items() if mark[0] == SECTIONS})
        for part in parts:
            if len(part.items(SECTIONS)) == len(around.items(SECTIONS)):
                part.places[SECTIONS] = around.places.get(SECTIONS, [])
            part.marks = Counter(dict(_beside_sections(part.marks))) + shown  # siblings share it
        return dict(zip(entries, parts, strict=True))

    def _answers(self, part: _Part) -> bool:
        """Whether the items of a part stand in the whole, each once."""
        places = [part.places.get(name) for name in LISTS]
        is_placed = all(one is not None and None not in one for one in places)
        is_placed = is_placed and all(len(one or ()) == len(part.items(name)) for name, one in zip(LISTS, places, strict=True))
        return is_placed and _is_alike(part.base, self._base) and all(self._marks[one] <= count for one, count in part.marks.items())

    def _cut(self, way: list[Element]) -> _Part:
        """The document with nothing below its body but the last element of a way; without a way the whole header."""
        root = _bare_copy(self._root)
        for one in self._root.iterchildren("*"):
            if one.tag == f"{V3}component" and child(one, "structuredBody") is not None:
                self._cut_body(one, way, root)
            elif not way or one.tag in _HEADER:
                root.append(deepcopy(one))
        if not way:
            header = [one for one in self._root.iterchildren("*") if child(one, "structuredBody") is None]
            copies = [one for one in root.iterchildren("*") if child(one, "structuredBody") is None]
            pairs = [(self._root, root), *(pair for both in zip(header, copies, strict=True) for pair in _twins(*both))]
        else:
            pairs = list(_twins(way[-1], self._last))
        return _Part(root, (one for one, _ in pairs), (one for _, one in pairs), self._ask)

    def _cut_body(self, component: Element, way: list[Element], root: Element) -> None:
        holder = _appended(root, component)
        for body in children(component, "structuredBody"):
            inner = _appended(holder, body)
            for number, one in enumerate(way):
                if number == len(way) - 1:
                    self._last = deepcopy(one)
                    inner.append(self._last)
                    break
                inner = _appended(inner, one)
                for beside in one.iterchildren("*"):
                    if local_name(beside) not in ("section", "entry", "component"):
                        inner.append(deepcopy(beside))
            way = []


def _place(parts: list[_Part], name: str, items: list[Any], places: list[int | None]) -> None:
    """Find the items of parts, one part after another, in a list that is known; nothing where it is in another order.

    A statement that is repeated stands in the list only once.
    """
    at = 0
    found: list[list[int | None]] = []
    for part in parts:
        found.append([])
        for one in part.items(name):
            is_next = at < len(items) and items[at] == one
            found[-1].append(places[at] if is_next else None)
            at += is_next
    if at == len(items):
        for part, some in zip(parts, found, strict=True):
            part.places[name] = some


def _twins(original: Element, copy: Element) -> Iterator[tuple[Element, Element]]:
    return zip(original.iter("*"), copy.iter("*"), strict=True)


def _bare_copy(element: Element) -> Element:
    """An element without what is inside."""
    made = etree.Element(str(element.tag), dict(element.attrib.items()), nsmap=element.nsmap)  # type: ignore[arg-type]  # None: no prefix
    made.text = element.text
    return made


def _appended(holder: Element, element: Element) -> Element:
    made = _bare_copy(element)
    holder.append(made)
    return made


def _items(said: Described, name: str) -> list[Any]:
    """One of the lists of a reading."""
    if name.startswith("patients"):
        return said["patients"][0][name.rpartition(".")[2]] if said["patients"] else []
    return said["documents"][0]["content"][name.rpartition(".")[2]] if said["documents"] else []


def _marks(said: Described) -> Iterator[tuple[str, bytes]]:
    """What tells items apart: all that they say, and that by which the reader keeps a statement once."""
    for name in LISTS:
        for one in _items(said, name):
            yield name, msgspec.json.encode(one)
            if name in (HISTORY, DIET):
                code = one["code"] or {}
                kept = (one["kind"], code.get("system"), code.get("code"), one["text"], one["status"], one.get("onset"), one["negated"])
                yield f"{name} once", msgspec.json.encode((*kept, one["criticality"]))


def _beside_sections(marks: "Counter[tuple[str, bytes]]") -> Iterator[tuple[tuple[str, bytes], int]]:
    """Marks of everything but sections."""
    return ((mark, count) for mark, count in marks.items() if mark[0] != SECTIONS)


def _is_alike(one: Described, other: Described) -> bool:
    """As many patients and documents."""
    return all(len(one[name]) == len(other[name]) for name in ("patients", "documents"))
