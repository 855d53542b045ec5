"""The modelled contract is a valid OpenAPI 3.1 description that says what it is, and the sandbox serves exactly it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from openapi_schema_validator import oas31_format_checker
from openapi_spec_validator import validate

from services.carepatron_writer.platforms.carepatron.adapter import metadata_of
from services.carepatron_writer.platforms.carepatron.contacts import new_contact
from services.carepatron_writer.platforms.carepatron.sandbox.problems import TITLES
from tests.contract.sandbox_ground import open_app
from tests.contract.writing_fakes import CAPABILITIES, a_card, a_profile, an_upload

FILE = Path(__file__).parents[2] / "services/carepatron_writer/platforms/carepatron/openapi.yaml"
METHODS = frozenset({"get", "put", "post", "delete", "patch"})
REPORTED = {"ping", "securePing"}


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
    return loaded


def _operations(spec: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(method.upper(), path): one for path, item in spec["paths"].items() for method, one in item.items() if method in METHODS}


def _check(spec: dict[str, Any], schema: Any, value: Any) -> None:
    Draft202012Validator({**schema, "components": spec["components"]}, format_checker=oas31_format_checker).validate(value)


def _camel(name: str) -> str:
    return re.sub("_(.)", lambda match: match[1].upper(), name)


def test_the_contract_is_valid_and_says_that_it_is_modelled(spec: dict[str, Any]) -> None:
    validate(spec)

    assert spec["info"]["title"] == "Carepatron destination contract - modelled; not published by Carepatron"
    assert "nothing here is a fact about Carepatron unless it is\nmarked `reported`" in spec["info"]["description"]


def test_every_operation_says_how_it_is_known(spec: dict[str, Any]) -> None:
    said = {one["operationId"]: one.get("x-evidence") for one in _operations(spec).values()}

    assert {name: "reported" if name in REPORTED else "modelled" for name in said} == said


def test_nothing_names_a_server_of_carepatron(spec: dict[str, Any]) -> None:
    hosts = set(re.findall(r"https?://([\w.\\-]+)", FILE.read_text("utf-8").replace("\\\\", "")))

    assert [one["variables"] for one in spec["servers"]] == [{"baseUrl": {"default": "http://127.0.0.1:8090"}}]
    assert hosts == {"127.0.0.1", "healthrecords.example", "loinc.org"}


def test_the_sandbox_serves_exactly_the_contract(spec: dict[str, Any], tmp_path: Path) -> None:
    with open_app(tmp_path) as app:
        served = {(one.method, one.path): _camel(one.name) for one in app.state.operations}

    assert {place: one["operationId"] for place, one in _operations(spec).items()} == served


def test_the_profile_calls_what_the_contract_describes(spec: dict[str, Any]) -> None:
    described = {one["operationId"]: (place, one["x-evidence"]) for place, one in _operations(spec).items()}

    for name, called in a_profile().operations.items():
        (method, path), evidence = described[_camel(name)]
        names = iter(re.findall(r"{[^}]*}", called.path))
        assert (called.method, called.path, called.evidence) == (
            method,
            re.sub(r"{[^}]*}", lambda _, names=names: next(names), path.removeprefix("/providers/{providerId}")),
            evidence,
        )


def test_every_operation_declares_success_and_problems(spec: dict[str, Any]) -> None:
    for one in _operations(spec).values():
        statuses = set(one["responses"])
        assert any(status.startswith("2") for status in statuses)
        assert one["responses"]["default"] == {"$ref": "#/components/responses/Problem"}
        assert ("401" in statuses) is (one.get("security") != [])


def test_what_the_adapter_sends_is_what_the_contract_describes(spec: dict[str, Any]) -> None:
    schemas = spec["components"]["schemas"]

    _check(spec, schemas["Document"], metadata_of(an_upload()))
    _check(spec, schemas["Contact"], new_contact(a_card(email="marker@example.org", phone="1")))


def test_contract_profile_and_sandbox_name_the_same_things(spec: dict[str, Any]) -> None:
    schemas, profile = spec["components"]["schemas"], a_profile()

    assert set(schemas["Document"]["properties"]["contentType"]["enum"]) == set(profile.content.media_types)
    assert schemas["Document"]["properties"]["size"]["maximum"] == profile.content.max_bytes
    assert set(TITLES) == set(schemas["Problem"]["properties"]["code"]["enum"])
    assert spec["components"]["securitySchemes"]["apiKey"]["name"] == profile.token.header
    assert profile.capabilities == CAPABILITIES


def test_every_example_is_one(spec: dict[str, Any]) -> None:
    for schema, value in _examples(spec, spec):
        _check(spec, schema, value)


def test_everything_that_is_sent_has_an_example(spec: dict[str, Any]) -> None:
    shared = spec["components"]

    for path, item in spec["paths"].items():
        for name, one in item.items():
            parameters = one if name == "parameters" else one.get("parameters", [])
            for parameter in (_resolved(spec, found) for found in parameters):
                assert "example" in parameter or "default" in parameter["schema"], (path, parameter["name"])
            body = {} if name == "parameters" else _resolved(spec, one.get("requestBody", {}))
            assert all({"example", "examples"} & set(media) for media in body.get("content", {}).values()), path
    assert set(shared["examples"]) == set(re.findall(r"#/components/examples/(\w+)", FILE.read_text("utf-8")))


def _resolved(spec: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    _, _, kind, name = node["$ref"].split("/")
    found: dict[str, Any] = spec["components"][kind][name]
    return found


def _examples(spec: dict[str, Any], node: Any) -> Iterator[tuple[Any, Any]]:
    """Each example beside its schema, wherever they stand."""
    if isinstance(node, list):
        for one in node:
            yield from _examples(spec, one)
    elif isinstance(node, dict):
        if "schema" in node and "example" in node:
            yield node["schema"], node["example"]
        if "schema" in node:
            yield from ((node["schema"], _resolved(spec, one)["value"]) for one in node.get("examples", {}).values())
        for one in node.values():
            yield from _examples(spec, one)
