"""FHIR servers for the platform contract: the strict fake in process, and a real one whose address the environment names."""

import atexit
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from services.carepatron_writer.platforms.fhir_r4 import PACKAGE
from services.carepatron_writer.platforms.fhir_r4.account import Account
from services.carepatron_writer.platforms.fhir_r4.adapter import FhirR4
from services.carepatron_writer.platforms.fhir_r4.credentials import NoLogin
from services.carepatron_writer.platforms.fhir_r4.heads import head_of
from services.carepatron_writer.platforms.fhir_r4.sandbox import FhirServer
from services.carepatron_writer.platforms.fhir_r4.settings import FhirSettings
from services.carepatron_writer.platforms.fhir_r4.wire import Wire
from services.carepatron_writer.platforms.http import Credentials, PlatformClient
from services.carepatron_writer.platforms.port import Created
from tests.contract.writing_fakes import a_card, a_profile

ROOT = "http://127.0.0.1/fhir"
FHIR_JSON = {"content-type": "application/fhir+json"}
OTHER = {"identifier": {"system": "urn:example:mrn", "value": "other"}}  # a logical reference: whom somebody was merged into is not there


async def no_pause(seconds: float) -> None:
    """Go on at once."""


UNHURRIED: dict[str, Any] = {"sleep": no_pause, "chance": lambda: 0.5}


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


class Meddling(httpx.ASGITransport):
    """Lets somebody else act just before a request is sent; `meddle` gets the request, and may change the server."""

    def __init__(self, server: FhirServer, meddle: Callable[[httpx.Request], None]) -> None:
        super().__init__(app=server.app)
        self._meddle = meddle

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Meddle, then send."""
        self._meddle(request)
        return await super().handle_async_request(request)


def once(matches: Callable[[httpx.Request], bool], act: Callable[[], Any], times: int = 1) -> Callable[[httpx.Request], None]:
    """Somebody who acts before the first requests of a kind."""
    left = [times]

    def meddle(request: httpx.Request) -> None:
        if left[0] and matches(request):
            left[0] -= 1
            act()

    return meddle


def is_put(request: httpx.Request) -> bool:
    """A document is about to be changed."""
    return request.method == "PUT" and "/DocumentReference" in request.url.path


def open_fake(
    server: FhirServer, *, meddle: Callable[[httpx.Request], None] | None = None, said: Mapping[str, Any] | None = None, **settings: Any
) -> FhirR4:
    """The adapter over a fake that the test keeps in hand."""
    transport = Meddling(server, meddle) if meddle else httpx.ASGITransport(app=server.app)
    return open_fhir(ROOT, transport=transport, said={**UNHURRIED, **(said or {})}, **settings)


async def a_client(platform: FhirR4, patient_key: str | None = None, **card: Any) -> str:
    """A new patient there."""
    answer = await platform.upsert_patient(a_card(patient_key, **card), None)
    assert isinstance(answer, Created)
    return answer.external_id


def documents(server: FhirServer) -> list[dict[str, Any]]:
    """All documents there."""
    return server.store.all("DocumentReference")


def version_in(document: Mapping[str, Any]) -> str:
    """Our version of a stored document."""
    head = head_of(document)
    assert head is not None
    return head.version


@asynccontextmanager
async def fhir_fake(server: FhirServer | None = None, **settings: Any) -> AsyncIterator[FhirGround]:
    """The strict fake, by the book unless it was made otherwise."""
    there = server or FhirServer()
    adapter = open_fhir(ROOT, transport=httpx.ASGITransport(app=there.app), said=UNHURRIED, **settings)

    async def set_status(external_id: str, status: str) -> None:
        patient = dict(there.rest.read("Patient", external_id))
        patient["active"] = status == "active"
        if status == "merged":
            patient["link"] = [{"other": OTHER, "type": "replaced-by"}]
        there.rest.update("Patient", external_id, patient)

    yield FhirGround(adapter, set_status)
    await adapter.aclose()


def has_address() -> bool:
    """Whether the environment names a real server: FHIR_BASE_URL, or with HAPI=1 a script in FHIR_SERVER_START that starts one."""
    return bool(os.environ.get("FHIR_BASE_URL") or (os.environ.get("HAPI") == "1" and os.environ.get("FHIR_SERVER_START")))


@cache
def real_address() -> str:
    """Its address; a server that we start ends with the tests. The script takes a port and a folder, and prints the address when ready."""
    known = os.environ.get("FHIR_BASE_URL")
    if known:
        return known
    folder = Path(tempfile.mkdtemp(prefix="fhir-server-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    log = folder / "address"
    with log.open("wb") as out:  # a file, no pipe: the server itself keeps it open
        subprocess.run([os.environ["FHIR_SERVER_START"], port, str(folder)], stdout=out, check=True, timeout=280)
    atexit.register(_stop, folder)
    return re.findall(r"http://[\w.:/-]+", log.read_text())[-1]


def _stop(folder: Path) -> None:
    os.kill(int((folder / "pid").read_text()), signal.SIGTERM)
    shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def fhir_address(root: str, **settings: Any) -> AsyncIterator[FhirGround]:
    """A real server."""
    adapter = open_fhir(root, **settings)
    async with httpx.AsyncClient(base_url=root, timeout=20.0) as own:

        async def set_status(external_id: str, status: str) -> None:
            patient = (await own.get(f"/Patient/{external_id}")).json()
            patient["active"] = status == "active"
            if status == "merged":
                patient["link"] = [{"other": OTHER, "type": "replaced-by"}]
            answer = await own.put(f"/Patient/{external_id}", json=patient, headers=FHIR_JSON)
            answer.raise_for_status()

        yield FhirGround(adapter, set_status)
    await adapter.aclose()
