"""FHIR servers for the platform contract: the strict fake in process, and a real one whose address the environment names."""

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from services.carepatron_writer.platforms.fhir_r4 import PACKAGE
from services.carepatron_writer.platforms.fhir_r4.account import Account
from services.carepatron_writer.platforms.fhir_r4.adapter import FhirR4
from services.carepatron_writer.platforms.fhir_r4.credentials import NoLogin
from services.carepatron_writer.platforms.fhir_r4.settings import FhirSettings
from services.carepatron_writer.platforms.fhir_r4.wire import Wire
from services.carepatron_writer.platforms.http import Credentials, PlatformClient
from tests.contract.writing_fakes import a_profile

FHIR_JSON = {"content-type": "application/fhir+json"}


@dataclass
class FhirGround:
    """A platform, and the clinic's hand on its patients."""

    platform: FhirR4
    set_status: Callable[[str, str], Coroutine[Any, Any, None]]


def open_fhir(
    root: str,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    credentials: Credentials | None = None,
    timeout_seconds: float = 20.0,
    said: Mapping[str, Any] | None = None,
    **settings: Any,
) -> FhirR4:
    """The adapter over a server; call it inside a running loop. `said` are fields of the account: time, chance, pauses."""
    profile = a_profile(PACKAGE, requests={"timeout_seconds": timeout_seconds})
    login = credentials or NoLogin()
    client = PlatformClient(root, login, profile, target="fhir", transport=transport)
    return FhirR4(Account(Wire(client), profile, FhirSettings(**settings), **(said or {})), login)


@asynccontextmanager
async def fhir_address(root: str, **settings: Any) -> AsyncIterator[FhirGround]:
    """A real server."""
    adapter = open_fhir(root, **settings)
    async with httpx.AsyncClient(base_url=root, timeout=20.0) as own:

        async def set_status(external_id: str, status: str) -> None:
            patient = (await own.get(f"/Patient/{external_id}")).json()
            patient["active"] = status == "active"
            if status == "merged":  # a logical reference: whom it was merged into is not there
                other = {"identifier": {"system": "urn:example:mrn", "value": "other"}}
                patient["link"] = [{"other": other, "type": "replaced-by"}]
            answer = await own.put(f"/Patient/{external_id}", json=patient, headers=FHIR_JSON)
            answer.raise_for_status()

        yield FhirGround(adapter, set_status)
    await adapter.aclose()
