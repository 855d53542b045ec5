"""The same source with one element changed or taken away, for each of its elements."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from services.normalizer.explain.cda import edits_of, root_of
from services.normalizer.explain.texts import different
from shared.canonical.reading import Format
from shared.formats.fhir_json import NotJson, decode, encode
from shared.formats.hl7v2_separators import Separators, read_separators
from shared.formats.hl7v2_text import CHARSETS
from shared.formats.hl7v2_text import decode as decode_hl7v2


class Variant(NamedTuple):
    """A source in which the element at `path` is different (None: it cannot differ), and one in which it is absent."""

    path: str
    changed: bytes | None
    absent: bytes


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
    root = root_of(content)
    if root is None:
        return
    for edit in edits_of(root):
        changed, absent = (edit.made(root, edit.element, is_absent=one) for one in (False, True))
        yield Variant(edit.path, changed, absent or b"")


VARIANTS: dict[Format, Callable[[bytes], Iterator[Variant]]] = {"hl7v2": hl7v2_variants, "fhir": fhir_variants, "ccda": cda_variants}
