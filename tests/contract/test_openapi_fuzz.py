"""schemathesis makes requests from the contract, right ones and wrong ones, and the sandbox must answer as described. Nothing is random."""

import hashlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import httpx
import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.contract.sandbox_ground import ROOT, form, metadata, new_contact, open_app, put, run
from tests.contract.writing_fakes import KEY

FILE = Path(__file__).parents[2] / "services/carepatron_writer/platforms/carepatron/openapi.yaml"
EXAMPLES = 40  # of each operation, beside those that cover each rule of its schema


class Relay:
    """The sandbox of this module, once it is there."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; start and end are the fixture's."""
        if scope["type"] != "http":
            raise NotImplementedError
        await self.app(scope, receive, send)


relay = Relay()
keys = count()
config = SchemathesisConfig.from_dict(
    {
        "generation": {"deterministic": True, "with-security-parameters": False},
        "checks": {"missing_required_header": {"expected-statuses": [400, 401, 415, 422, 428]}},
    }
)
schema = schemathesis.openapi.from_dict(yaml.safe_load(FILE.read_text("utf-8")), config=config)
schema.app = relay


@pytest.fixture(scope="module", autouse=True)
def sandbox_of_this_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where the requests go."""
    with open_app(tmp_path_factory.mktemp("fuzz")) as app:
        relay.app = app
        yield


@pytest.fixture
def known() -> dict[str, str]:
    """A contact with a document of each kind, a share and an export, for one operation."""

    async def fill(http: httpx.AsyncClient) -> dict[str, str]:
        contact = await new_contact(http)
        documents = f"{ROOT}/contacts/{contact}/documents"
        await put(http, contact, metadata())
        plain = await http.post(documents, files=form(metadata(externalId="d2")))
        once, whom = {"Idempotency-Key": f'"{next(keys)}"'}, {"with": {"kind": "client", "id": contact}}
        share = await http.post(f"{documents}/d1/shares", json=whom, headers=once)
        job = await http.post(f"{ROOT}/contacts/export-jobs")
        ids = {"documentId": plain, "shareId": share, "jobId": job}
        return {"providerId": "clinic", "contactId": contact, "externalId": "d1", **{name: one.json()["id"] for name, one in ids.items()}}

    return run(relay.app, fill)


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
def test_every_answer_is_as_described(case: schemathesis.Case, known: dict[str, str]) -> None:
    is_right = aim(case, known)

    case.call_and_validate(headers={"cp-api-key": KEY}, excluded_checks=[] if is_right else [positive_data_acceptance])


def aim(case: schemathesis.Case, known: dict[str, str]) -> bool:
    """Let a request be about something that is there and keep the rules that a schema cannot say; whether it is right then.

    One whose body is wrong is wrong in nothing else: the answer would be about that.
    """
    assert case.meta is not None
    wrong = {place for place, one in case.meta.components.items() if one.mode.is_negative}
    path, headers, body = case.path_parameters, case.headers, case.body
    if ParameterLocation.BODY in wrong or ParameterLocation.PATH not in wrong:
        path.update({name: known[name] for name in path if name in known})
    if ParameterLocation.BODY in wrong or ParameterLocation.HEADER not in wrong:
        right = {"Idempotency-Key": f'"{next(keys)}"', "If-Match": "*"}
        headers.update({name: right[name] for name in right if name in headers})
    if isinstance(body, dict) and ParameterLocation.BODY not in wrong:
        if "with" in body:
            body["with"] = {**body["with"], "id": known["contactId"]}
        if body.get("expiresAt"):
            body["expiresAt"] = "2099-12-01T00:00:00Z"
        if "content" in body:
            content = body["content"] if isinstance(body["content"], bytes) else str(body["content"]).encode()
            mended = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "externalId": path.get("externalId", "d2")}
            body["metadata"] = {**body["metadata"], **mended}
    is_half = ("externalSystem" in case.query) is not ("externalValue" in case.query)
    return not wrong and not is_half and "Range" not in headers
