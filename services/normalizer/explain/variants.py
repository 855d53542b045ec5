"""The same source with one element changed or taken away, for each of its elements."""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from lxml import etree

from shared.canonical.reading import Format
from shared.formats.cda_tree import parse_cda
from shared.formats.fhir_json import NotJson, decode, encode
from shared.formats.hl7v2_separators import Separators, read_separators
from shared.formats.hl7v2_text import CHARSETS
from shared.formats.hl7v2_text import decode as decode_hl7v2
from shared.formats.xml import RefusedXML

NARRATIVE = "text"  # of a CDA section: one element, whatever it is made of
TAG = re.compile(r"\{[^}]*\}")


class Variant(NamedTuple):
    """A source in which the element at `path` is different (None: it cannot differ), and one in which it is absent."""

    path: str
    changed: bytes | None
    absent: bytes


def different(text: str) -> str:
    """Another text of the same shape: each letter and each digit is the next one."""
    return "".join(_next(one) for one in text)


def _next(character: str) -> str:
    if character in "0123456789":
        return "1234567890"["0123456789".index(character)]
    if "a" <= character.lower() <= "z":
        return chr(ord(character) + 1) if character.lower() != "z" else chr(ord(character) - 25)
    return character


def hl7v2_variants(content: bytes) -> Iterator[Variant]:
    """Each component of each repetition of each field, as `OBX[2]-5`, `PID-3[2].1`."""
    text, _ = decode_hl7v2(content)
    separators = read_separators(text, [])
    if separators is None:
        return
    codec = _codec(content, text)
    lines = text.replace("\r\n", "\r").replace("\n", "\r").split("\r")
    seen: dict[str, int] = {}
    for at, line in enumerate(lines):
        name = line[:3]
        if line[3:4] != separators.field:
            continue
        seen[name] = seen.get(name, 0) + 1
        place = name if seen[name] == 1 else f"{name}[{seen[name]}]"
        fields = line.split(separators.field)

        offset = 1 if name == "MSH" else 0
        for number in range(1 + offset, len(fields)):

            def rebuilt(field: str, number: int = number, fields: list[str] = fields, at: int = at) -> bytes:
                changed = [*fields[:number], field, *fields[number + 1 :]]
                return "\r".join([*lines[:at], separators.field.join(changed), *lines[at + 1 :]]).encode(codec, "replace")

            yield from _field_variants(f"{place}-{number + offset}", fields[number], separators, rebuilt)


def _codec(content: bytes, text: str) -> str:
    """The charset in which the bytes were read as this text."""
    for codec in ("utf-8", *dict.fromkeys(CHARSETS.values()), "cp1252", "latin-1"):
        try:
            if text in content.decode(codec):
                return codec
        except UnicodeDecodeError:
            continue
    return "utf-8"


def _field_variants(path: str, field: str, separators: Separators, rebuilt: Callable[[str], bytes]) -> Iterator[Variant]:
    repetitions = field.split(separators.repetition)
    for index, repetition in enumerate(repetitions):
        components = repetition.split(separators.component)
        for part, component in enumerate(components):
            if not component:
                continue

            def put(text: str, index: int = index, part: int = part, components: list[str] = components) -> bytes:
                made = separators.component.join([*components[:part], text, *components[part + 1 :]])
                return rebuilt(separators.repetition.join([*repetitions[:index], made, *repetitions[index + 1 :]]))

            where = f"[{index + 1}]" if index else ""
            where += f".{part + 1}" if len(components) > 1 else ""
            other = different(component)
            yield Variant(f"{path}{where}", put(other) if other != component else None, put(""))


def fhir_variants(content: bytes) -> Iterator[Variant]:
    """Each primitive of a FHIR JSON resource, by its FHIRPath."""
    try:
        root = decode(content)
    except NotJson:
        return
    kind = root.get("resourceType") if isinstance(root, dict) else None
    yield from _json_variants(root, root, str(kind or "$"))


def _json_variants(root: Any, node: Any, path: str) -> Iterator[Variant]:
    for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
        here = f"{path}.{key}" if isinstance(node, dict) else f"{path}[{key}]"
        if isinstance(value, (dict, list)):
            yield from _json_variants(root, value, here)
            continue
        changed = None
        if isinstance(value, str) and key != "resourceType":
            other = different(value)
            changed = _put(root, node, key, type(value)(other)) if other != value else None
        elif isinstance(value, bool):
            changed = _put(root, node, key, not value)
        elif isinstance(value, int):
            changed = _put(root, node, key, value + 1)
        yield Variant(here, changed, _put(root, node, key, None))


def _put(root: Any, node: Any, key: Any, value: Any) -> bytes:
    """The whole tree with one value exchanged for a moment."""
    before, node[key] = node[key], value
    try:
        return encode(root)
    finally:
        node[key] = before


def cda_variants(content: bytes) -> Iterator[Variant]:
    """Each attribute and each text of a CDA, by its path; the narrative of a section is one element."""
    try:
        root = parse_cda(content).root
    except RefusedXML:
        return
    yield from _xml_variants(root, root, TAG.sub("", str(root.tag)))


def _xml_variants(root: Any, element: Any, path: str) -> Iterator[Variant]:
    if TAG.sub("", str(element.tag)) == NARRATIVE and TAG.sub("", str(element.getparent().tag)) == "section":
        yield _narrative_variant(root, element, path)
        return
    for name, value in list(element.attrib.items()):
        other = different(value)

        def with_attribute(text: str | None, name: str = name, value: str = value) -> bytes:
            if text is None:
                del element.attrib[name]
            else:
                element.set(name, text)
            try:
                return etree.tostring(root)
            finally:
                element.set(name, value)

        yield Variant(f"{path}/@{TAG.sub('', name)}", with_attribute(other) if other != value else None, with_attribute(None))
    if element.text and not element.text.isspace():
        before, other = element.text, different(element.text)
        element.text = other
        changed = etree.tostring(root) if other != before else None
        element.text = None
        absent = etree.tostring(root)
        element.text = before
        yield Variant(path, changed, absent)
    numbers: dict[str, int] = {}
    for one in element.iterchildren("*"):
        name = TAG.sub("", str(one.tag))
        numbers[name] = numbers.get(name, 0) + 1
        is_several = len(element.findall(one.tag)) > 1
        yield from _xml_variants(root, one, f"{path}/{name}[{numbers[name]}]" if is_several else f"{path}/{name}")


def _narrative_variant(root: Any, text: Any, path: str) -> Variant:
    kept = [(one, one.text, one.tail) for one in text.iter("*")]
    for one, inner, tail in kept:
        one.text = different(inner) if inner else inner
        one.tail = different(tail) if tail and one is not text else tail
    changed = etree.tostring(root)
    for one, _, tail in kept:
        one.text = None
        one.tail = None if one is not text else tail
    absent = etree.tostring(root)
    for one, inner, tail in kept:
        one.text, one.tail = inner, tail
    return Variant(path, changed, absent)


VARIANTS: dict[Format, Callable[[bytes], Iterator[Variant]]] = {"hl7v2": hl7v2_variants, "fhir": fhir_variants, "ccda": cda_variants}
