"""FHIR in XML: the same resource says the same, whichever way it is written."""

import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import pytest

from services.normalizer.offline import as_json, normalize_bytes
from shared.canonical.reading import ProviderProfile
from shared.formats.fhir import light_identity, split_resources
from shared.formats.fhir_json import NotJson, decode
from shared.outcomes import Reason

PROVIDER = ProviderProfile("clinic-a", time_zone="Europe/Zurich")
GOLDEN = Path(__file__).parents[2] / "golden" / "fhir"
FHIR = 'xmlns="http://hl7.org/fhir"'


def resources() -> list[tuple[str, bytes]]:
    """The golden inputs that are one JSON resource."""
    found = []
    for path in sorted(GOLDEN.glob("*/input.json")):
        try:
            if "resourceType" in json.loads(path.read_bytes()):
                found.append((path.parent.name, path.read_bytes()))
        except ValueError:
            continue
    return found


def as_xml(resource: dict[str, Any]) -> str:
    """A resource as a careful sender writes it."""
    members = "".join(element(name, value, resource) for name, value in resource.items() if name != "resourceType")
    return f"<{resource['resourceType']} {FHIR}>{members}</{resource['resourceType']}>"


def element(name: str, value: Any, holder: dict[str, Any]) -> str:
    """A member of an object."""
    if name.startswith("_"):
        return "" if name[1:] in holder else primitive(name[1:], None, value)
    if isinstance(value, list):
        beside = holder.get(f"_{name}") or [None] * len(value)
        return "".join(
            element(name, one, {}) if isinstance(one, dict) else primitive(name, one, extra)
            for one, extra in zip(value, beside, strict=True)
        )
    if isinstance(value, dict):
        if "resourceType" in value:
            return f"<{name}>{as_xml(value)}</{name}>"
        attributes = "".join(
            f" {one}={quoteattr(str(value[one]))}" for one in ("id", "url") if one in value and (one == "id" or "extension" in name)
        )
        inner = "".join(
            element(one, held, value) for one, held in value.items() if one != "id" and not (one == "url" and "extension" in name)
        )
        return f"<{name}{attributes}>{inner}</{name}>"
    if name == "div":
        return str(value)
    return primitive(name, value, holder.get(f"_{name}"))


def primitive(name: str, value: Any, beside: Any) -> str:
    """A primitive with what stands beside it."""
    written = "" if value is None else f" value={quoteattr(str(value).lower() if isinstance(value, bool) else str(value))}"
    inner = "".join(element("extension", one, {}) for one in (beside or {}).get("extension", []))
    return f"<{name}{written}>{inner}</{name}>"


@pytest.mark.parametrize(("name", "content"), resources(), ids=[name for name, _ in resources()])
def test_json_and_xml_of_a_resource_say_the_same(name: str, content: bytes) -> None:
    # digits as written: parse_float keeps 13.20 as text
    written = as_xml(json.loads(content, parse_float=str)).encode()

    one, other = ([as_json(reading) for reading in normalize_bytes(way, PROVIDER)] for way in (content, written))

    assert one == other
    assert light_identity(content, PROVIDER) == light_identity(written, PROVIDER)
    assert len(split_resources(content)) == len(split_resources(written))


@pytest.mark.parametrize(
    ("content", "reason", "where"),
    [
        (f"<Patient {FHIR}><id value='1'></Patient>", Reason.MALFORMED_XML, "line 1"),
        (f"<!DOCTYPE x [<!ENTITY y 'z'>]><Patient {FHIR}/>", Reason.HOSTILE_XML, "DOCTYPE"),
        (f"<Patient {FHIR}>" + "<a>" * 300 + "</a>" * 300 + "</Patient>", Reason.TOO_DEEP, "line 1"),
    ],
)
def test_xml_that_is_not_read_says_why(content: str, reason: Reason, where: str) -> None:
    with pytest.raises(NotJson) as refused:
        decode(content.encode())

    assert (refused.value.reason, refused.value.where) == (reason, where)


def test_markup_of_the_narrative_is_text_of_the_document() -> None:
    narrative = f'<text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml"><p>{escape("fish & chips")}</p></div></text>'
    content = f'<Composition {FHIR}><id value="c1"/>{narrative}<subject><reference value="Patient/p1"/></subject></Composition>'

    (reading,) = normalize_bytes(content.encode("utf-16"), PROVIDER)

    assert reading.documents[0].content.text == "fish & chips"


def test_where_a_schema_lies_is_no_element() -> None:
    where = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://hl7.org/fhir fhir-single.xsd"'

    assert decode(f'<Patient {FHIR} {where}><id value="p1"/></Patient>'.encode()) == {"resourceType": "Patient", "id": "p1"}
