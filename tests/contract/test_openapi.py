"""The modelled contract is a valid OpenAPI 3.1 description, and the sandbox serves exactly it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from starlette.routing import Route

from services.carepatron_writer.platforms.carepatron.adapter import metadata_of
from services.carepatron_writer.platforms.carepatron.matching import new_contact
from services.carepatron_writer.platforms.carepatron.sandbox.app import contract_routes
from services.carepatron_writer.platforms.carepatron.sandbox.contacts_api import ContactsApi
from services.carepatron_writer.platforms.carepatron.sandbox.documents_api import DocumentsApi
from services.carepatron_writer.platforms.carepatron.sandbox.door import Door
from services.carepatron_writer.platforms.carepatron.sandbox.journal import Journal
from services.carepatron_writer.platforms.carepatron.sandbox.parsing import MEDIA_TYPES
from services.carepatron_writer.platforms.carepatron.sandbox.problems import TITLES
from services.carepatron_writer.platforms.carepatron.sandbox.records import Records
from tests.contract.writing_fakes import CAPABILITIES, a_card, a_profile, an_upload

FILE = Path(__file__).parents[2] / "services/carepatron_writer/platforms/carepatron/openapi.yaml"
METHODS = frozenset({"get", "put", "post", "delete", "patch"})


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
    return loaded


def _operations(spec: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(method.upper(), path): one for path, item in spec["paths"].items() for method, one in item.items() if method in METHODS}


def _validator(spec: dict[str, Any], name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": spec["components"]})


def test_the_contract_is_valid_and_says_that_it_is_modelled(spec: dict[str, Any]) -> None:
    validate(spec)

    assert spec["info"]["title"] == "Carepatron destination contract - modelled; not published by Carepatron"
    assert {"reported", "modelled"} == {one["x-evidence"] for one in _operations(spec).values()}


def test_the_sandbox_serves_exactly_the_contract(spec: dict[str, Any], tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    records = Records(journal)
    door = Door(records, api_key="k", provider_id=None, now=str)
    routes = [one for one in contract_routes(door, ContactsApi(records, door), DocumentsApi(records, door)) if isinstance(one, Route)]
    served = {(method, one.path) for one in routes for method in (one.methods or set()) - {"HEAD"}}
    journal.close()

    assert set(_operations(spec)) == served


def test_what_the_adapter_sends_is_what_the_contract_describes(spec: dict[str, Any]) -> None:
    _validator(spec, "Document").validate(metadata_of(an_upload()))
    _validator(spec, "Contact").validate(new_contact(a_card(email="marker@example.org", phone="1")))


def test_contract_profile_and_sandbox_name_the_same_things(spec: dict[str, Any]) -> None:
    schemas = spec["components"]["schemas"]

    assert set(schemas["Document"]["properties"]["contentType"]["enum"]) == set(a_profile().content.media_types) == MEDIA_TYPES
    assert set(TITLES) <= set(schemas["Problem"]["properties"]["code"]["enum"])
    assert a_profile().capabilities == CAPABILITIES
