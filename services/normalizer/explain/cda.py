"""The elements of a CDA that an explanation changes: each attribute and each text, by its path; the narrative of a section is one."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from lxml import etree

from services.normalizer.explain.texts import different
from shared.formats.cda_tree import Element, parse_cda
from shared.formats.xml import RefusedXML

TEXT = ""  # the text of an element, where an edit names no attribute
NARRATIVE = "text"  # of a CDA section: one element, whatever it is made of
TAG = re.compile(r"\{[^}]*\}")


class Edit(NamedTuple):
    """What may be changed or taken away: an attribute, the text of an element, or the whole narrative."""

    path: str
    element: Element
    name: str | None  # of the attribute, `TEXT`, or None: the narrative

    def made(self, root: Element, element: Element, *, is_absent: bool) -> bytes | None:
        """The source under `root` with this edit made in `element` (this one, or its copy); None when it cannot differ."""
        if self.name is None:
            return _without_narrative(root, element) if is_absent else _other_narrative(root, element)
        before = element.text if self.name == TEXT else element.get(self.name)
        other = None if is_absent else different(before or "")
        if other == before:
            return None
        self._put(element, other)
        try:
            return etree.tostring(root)
        finally:
            self._put(element, before)

    def _put(self, element: Element, text: str | None) -> None:
        if self.name == TEXT:
            element.text = text
        elif text is None:
            del element.attrib[self.name or ""]
        else:
            element.set(self.name or "", text)


def root_of(content: bytes) -> Element | None:
    """The root of a CDA, None when it cannot be read."""
    try:
        return parse_cda(content).root
    except RefusedXML:
        return None


def edits_of(root: Element) -> Iterator[Edit]:
    """Every edit of a document, in its order."""
    yield from _edits(root, bare(root.tag))


def bare(name: object) -> str:
    """A tag or the name of an attribute without its namespace."""
    return TAG.sub("", str(name))


def _edits(element: Element, path: str) -> Iterator[Edit]:
    parent = element.getparent()
    if bare(element.tag) == NARRATIVE and parent is not None and bare(parent.tag) == "section":
        yield Edit(path, element, None)
        return
    for name in element.attrib:
        yield Edit(f"{path}/@{bare(name)}", element, str(name))
    if element.text and not element.text.isspace():
        yield Edit(path, element, TEXT)
    count = Counter(one.tag for one in element.iterchildren("*"))
    numbers: dict[str, int] = {}
    for one in element.iterchildren("*"):
        name = bare(one.tag)
        numbers[name] = numbers.get(name, 0) + 1
        is_several = count[one.tag] > 1
        yield from _edits(one, f"{path}/{name}[{numbers[name]}]" if is_several else f"{path}/{name}")


def _other_narrative(root: Element, text: Element) -> bytes:
    kept = [(one, one.text, one.tail) for one in text.iter("*")]
    for one, inner, tail in kept:
        one.text = different(inner) if inner else inner
        one.tail = different(tail) if tail and one is not text else tail
    return _written(root, kept)


def _without_narrative(root: Element, text: Element) -> bytes:
    kept = [(one, one.text, one.tail) for one in text.iter("*")]
    for one, _, tail in kept:
        one.text = None
        one.tail = None if one is not text else tail
    return _written(root, kept)


def _written(root: Element, kept: list[tuple[Element, str | None, str | None]]) -> bytes:
    """The source as it is, then as it was."""
    try:
        return etree.tostring(root)
    finally:
        for one, inner, tail in kept:
            one.text, one.tail = inner, tail
