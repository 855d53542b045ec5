"""FHIR in XML as the tree that its JSON gives (https://hl7.org/fhir/R4/xml.html, https://hl7.org/fhir/R4/json.html)."""

from typing import Any

from lxml import etree

from shared.formats.xml import decode_xml, parse_xml

NAMESPACE = "{http://hl7.org/fhir}"
DIV = "{http://www.w3.org/1999/xhtml}div"
HOLDERS = frozenset({"resource", "contained"})  # elements that hold a whole resource
ALWAYS_LISTED = frozenset({"entry", "contained", "extension", "modifierExtension", "coding"})
# elements of type boolean; everything else that says true or false is text (https://hl7.org/fhir/R4/datatypes.html#boolean)
BOOLEANS = frozenset(
    {
        "active",
        "doNotPerform",
        "notDone",
        "notPerformed",
        "notGiven",
        "wasNotGiven",
        "wasNotTaken",
        "primarySource",
        "userSelected",
        "asNeeded",
    }
)

Resource = dict[str, Any]


def is_xml(content: bytes) -> bool:
    """Whether the bytes begin like XML, in UTF-8 or UTF-16."""
    start = content[:64].removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    return start.startswith((b"<", b"\xff\xfe<\0", b"\xfe\xff\0<", b"\0<"))


def read_tree(content: bytes) -> Resource:
    """The resource; an element that is written once and not known to repeat is no list. Raises RefusedXML."""
    return _resource(parse_xml(decode_xml(content).content))


def _resource(element: etree._Element) -> Resource:
    return {"resourceType": _name(element), **_members(element)}


def _name(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _members(element: etree._Element) -> Resource:
    """The members of an object: its attributes (`url`, `id`) and its child elements in FHIR's namespace."""
    # skip attributes of other namespaces: xsi:schemaLocation says where the sender's schema lies
    made: Resource = {str(name): str(value) for name, value in element.attrib.items() if name != "value" and str(name)[:1] != "{"}
    several: dict[str, list[tuple[Any, Any]]] = {}
    for one in element.iterchildren("*"):
        if one.tag == DIV:
            made["div"] = etree.tostring(one, encoding="unicode", with_tail=False)
        elif str(one.tag).startswith(NAMESPACE):
            several.setdefault(_name(one), []).append(_value(one))
    for name, found in several.items():
        is_listed = len(found) > 1 or name in ALWAYS_LISTED
        values, beside = [value for value, _ in found], [extra for _, extra in found]
        if any(value is not None for value in values):
            made[name] = values if is_listed else values[0]
        if any(extra is not None for extra in beside):
            made[f"_{name}"] = beside if is_listed else beside[0]
    return made


def _value(element: etree._Element) -> tuple[Any, Any]:
    """The value of an element, and what JSON writes beside a primitive (its id and its extensions)."""
    name = _name(element)
    if name in HOLDERS:
        held = next((one for one in element.iterchildren("*") if _name(one)[:1].isupper()), None)
        return (None, None) if held is None else (_resource(held), None)
    written = element.get("value")
    if written is None and _is_primitive(element):
        return None, _members(element) or None  # a primitive that has only extensions
    if written is None:
        return _members(element), None
    is_boolean = (name in BOOLEANS or name.endswith("Boolean")) and written in ("true", "false")
    return (written == "true" if is_boolean else written), _members(element) or None


def _is_primitive(element: etree._Element) -> bool:
    """Whether an element without a value is a primitive that says why: nothing inside it but extensions."""
    return not _name(element).endswith("xtension") and all(_name(one) == "extension" for one in element.iterchildren("*"))
