"""What this server takes: FHIR R4 to the letter, where real servers look away. Pure.

Unknown elements, wrong types, empty strings, missing elements, codes outside a required value set: 422, as a validating server answers.
"""

import base64
import re
import tomllib
from binascii import Error as NotBase64
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from lxml import etree

_TABLES: dict[str, dict[str, Any]] = tomllib.loads(files(__package__).joinpath("r4.toml").read_text("utf-8"))
_CODES: dict[str, list[str]] = _TABLES.pop("codes")
KINDS = ("DocumentReference", "Patient", "Binary", "List")
_RESOURCE = {"id": "id", "meta": "Meta", "implicitRules": "uri", "language": "code"}
_DOMAIN = {**_RESOURCE, "text": "Narrative", "extension": "Extension*", "modifierExtension": "Extension*"}
_ELEMENT = {"id": "string", "extension": "Extension*"}
_TIME = r"T([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?(Z|[+-](0\d|1[0-4]):[0-5]\d)"
_DAY = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_STRINGS = {
    "string": re.compile(r"[\s\S]*\S[\s\S]*"),
    "code": re.compile(r"\S+( \S+)*"),
    "uri": re.compile(r"\S+"),
    "id": re.compile(r"[A-Za-z0-9.-]{1,64}"),
    "instant": re.compile(_DAY + _TIME),
    "dateTime": re.compile(rf"\d{{4}}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01])({_TIME})?)?)?"),
    "date": re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?"),
}
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def first_fault(resource: Any, kind: str) -> str | None:
    """Where a resource breaks a rule, as an expression; None when it keeps all."""
    if not isinstance(resource, dict) or resource.get("resourceType") != kind or kind not in KINDS:
        return "resourceType"
    return next(_faults({name: one for name, one in resource.items() if name != "resourceType"}, kind, kind), None)


def _faults(value: dict[str, Any], kind: str, path: str) -> Iterator[str]:
    base = (_RESOURCE if kind == "Binary" else _DOMAIN) if kind in KINDS else _ELEMENT
    elements = {**base, **_TABLES[kind]}
    if not value:
        yield path
    yield from (f"{path}.{name}" for name in value if name not in elements)
    for name, kinds in elements.items():
        if name not in value:
            if kinds[-1] in "!+":
                yield f"{path}.{name}"
            continue
        yield from _element(value[name], kinds, f"{path}.{name}")
    yield from _of_extension(value, path) if kind == "Extension" else _of_attachment(value, path) if kind == "Attachment" else ()


def _element(value: Any, kinds: str, path: str) -> Iterator[str]:
    is_list, name = kinds[-1] in "*+", kinds.rstrip("!*+")
    if is_list != isinstance(value, list) or value == []:
        yield path
        return
    for one in value if is_list else [value]:
        if name in _TABLES:
            yield from _faults(one, name, path) if isinstance(one, dict) else [path]
        elif not _is_primitive(one, name) or (path in _CODES and one not in _CODES[path]):
            yield path


def _is_primitive(value: Any, kind: str) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if kind in ("integer", "decimal"):
        return isinstance(value, int if kind == "integer" else int | float) and not isinstance(value, bool)
    if not isinstance(value, str):
        return False
    if kind == "base64Binary":
        return _is_base64(value)
    if kind == "xhtml":
        return _is_narrative(value)
    return bool(_STRINGS[kind].fullmatch(value)) and not _CONTROLS.search(value)


def _is_base64(text: str) -> bool:
    try:
        return bool(text) and base64.b64decode(text, validate=True) is not None
    except (NotBase64, ValueError):
        return False


def _is_narrative(text: str) -> bool:
    try:
        root = etree.fromstring(text.encode(), etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError:
        return False
    return root.tag == "{http://www.w3.org/1999/xhtml}div" and any(str(one).strip() for one in root.itertext())


def _of_extension(value: dict[str, Any], path: str) -> Iterator[str]:
    values = [name for name in value if name.startswith("value")]
    if len(values) + bool(value.get("extension")) != 1:  # ext-1: either a value or extensions
        yield path


def _of_attachment(value: dict[str, Any], path: str) -> Iterator[str]:
    if "data" in value and "contentType" not in value:  # att-1
        yield path
