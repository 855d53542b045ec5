"""The platform suite over FHIR servers of many kinds: each switch of the fake, each way to submit, and a real server when there is one."""

from collections.abc import Callable
from typing import Any

import pytest

from services.carepatron_writer.platforms.fhir_r4.sandbox import FhirServer, Switches
from tests.contract.fhir_grounds import fhir_address, fhir_fake, has_address, real_address
from tests.contract.test_platform_contract import *  # noqa: F403  # the suite itself, over the fixture below

BARE = {"conditional_create": False, "conditional_update": False, "update_create": False}
SERVERS: dict[str, dict[str, Any]] = {
    "by the book": {},
    "conditional update only": {"conditional_create": False},
    "ids of ours only": {"conditional_create": False, "conditional_update": False},
    "no guard at all": BARE,
    "no guard, no transactions": {**BARE, "transactions": False},
    "stale is 409": {"stale_status": 409},
    "opaque versions": {"opaque_versions": True},
    "no versions": {"versioning": False},
    "ignores relatesTo": {"keeps_relations": False},
    "rewrites links": {"rewrites_urls": True},
    "sends everything": {"honours_elements": False, "honours_prefer": False},
    "no _lastUpdated": {"has_last_updated": False},
    "Binary as resource": {"binary_as_resource": True},
    "small pages": {"page": 1, "paging": "type"},
}
WAYS: dict[str, dict[str, Any]] = {
    "in place": {},
    "new document": {"supersede": "new_document"},
    "ITI-65": {"submission": "iti_65"},
    "ITI-105": {"submission": "iti_105"},
    "in Binaries": {"inline_max_bytes": 0},
}
FAKES = [(server, way) for server in SERVERS for way in ("in place", "in Binaries")]
FAKES += [
    (server, way)
    for server in ("by the book", "no guard at all", "ignores relatesTo")
    for way in WAYS
    if way not in ("in place", "in Binaries")
]
REAL = [("address", way) for way in WAYS] if has_address() else []


@pytest.fixture(params=[*FAKES, *REAL], ids=lambda one: ", ".join(one))
def opened(request: pytest.FixtureRequest) -> Callable[[], Any]:
    """Opens a platform inside a running loop."""
    server, way = request.param
    if server == "address":
        return lambda: fhir_address(real_address(), **WAYS[way])
    return lambda: fhir_fake(FhirServer(Switches(**SERVERS[server])), **WAYS[way])
