"""The sandbox: a destination that keeps the modelled contract, for development, demonstrations and tests. Not Carepatron's."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from services.carepatron_writer.platforms.carepatron.sandbox.chaos import Chaos
from services.carepatron_writer.platforms.carepatron.sandbox.chart import Chart
from services.carepatron_writer.platforms.carepatron.sandbox.clinic import Clinic
from services.carepatron_writer.platforms.carepatron.sandbox.clock import Clock
from services.carepatron_writer.platforms.carepatron.sandbox.contacts_api import ContactsApi
from services.carepatron_writer.platforms.carepatron.sandbox.controls import Controls
from services.carepatron_writer.platforms.carepatron.sandbox.documents_api import DocumentsApi
from services.carepatron_writer.platforms.carepatron.sandbox.door import Door
from services.carepatron_writer.platforms.carepatron.sandbox.exports_api import ExportsApi
from services.carepatron_writer.platforms.carepatron.sandbox.gate import Gate, SandboxHand
from services.carepatron_writer.platforms.carepatron.sandbox.idempotency import Idempotency
from services.carepatron_writer.platforms.carepatron.sandbox.journal import Journal
from services.carepatron_writer.platforms.carepatron.sandbox.keys import AccountKey
from services.carepatron_writer.platforms.carepatron.sandbox.limits import Limits
from services.carepatron_writer.platforms.carepatron.sandbox.plain_api import PlainApi
from services.carepatron_writer.platforms.carepatron.sandbox.plans import Plan
from services.carepatron_writer.platforms.carepatron.sandbox.problems import answer, problem
from services.carepatron_writer.platforms.carepatron.sandbox.records import Records
from services.carepatron_writer.platforms.carepatron.sandbox.routes import Apis, Contract
from services.carepatron_writer.platforms.carepatron.sandbox.shares_api import SharesApi
from services.carepatron_writer.platforms.carepatron.sandbox.switches import Switches
from services.carepatron_writer.platforms.carepatron.sandbox.uploads import Uploads
from services.carepatron_writer.platforms.profile import Profile, load_profile
from shared.errors import Misconfigured
from shared.settings import PlatformSettings, settings_config

PACKAGE = "services.carepatron_writer.platforms.carepatron"
DAY_HOURS = 24.0


class SandboxSettings(BaseSettings):
    """Read from the environment without a prefix."""

    model_config = settings_config("")

    sandbox_http_host: str = Field(default="127.0.0.1", description="address of the sandbox")
    sandbox_http_port: int = Field(default=8090, description="port of the sandbox")
    sandbox_state: Path | None = Field(default=None, description="folder of the sandbox's journal; none: HEALTHCARE_RECORDS_HOME/sandbox")
    sandbox_provider_id: str | None = Field(default=None, description="the only account that the key opens; none: any")
    sandbox_chaos: str = Field(default="none", description="profile or profile:rate, several with commas, see POST /sandbox/chaos")
    sandbox_quota_bytes: int | None = Field(default=None, ge=0, description="storage of each account; none: no limit")
    carepatron_api_key: SecretStr = Field(default=SecretStr("sandbox"), description="the key that clients must send")
    carepatron_api_key_file: Path | None = Field(default=None, description="file with the key, before the key itself; may change")


def create_app(
    state: Path,
    *,
    api_key: str = "",
    key_file: Path | None = None,
    provider_id: str | None = None,
    chaos: str = "none",
    switches: Switches | None = None,
    profile: Profile | None = None,
    now: Callable[[], float] = time.time,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Starlette:
    """The application over a folder of its own. Raises Misconfigured when the folder, the key or the chaos is unusable."""
    try:
        plans = Plan.read(chaos)
    except ValueError as error:
        raise Misconfigured(f"SANDBOX_CHAOS: {error}") from error
    known, clock, key = profile or load_profile(PACKAGE), Clock(now), AccountKey(api_key, key_file)
    journal = Journal(state)
    try:
        records = Records(journal)
    except BaseException:
        journal.close()
        raise
    door = Door(records, clock, key, header=known.token.header, provider_id=provider_id, switches=switches or Switches())
    contract, documents = _contract(records, door, known)
    clinic, limits = Clinic(records, clock), Limits(known, clock, contract.name_of)
    chaotic = Chaos(contract.app, SandboxHand(records, clinic, door, key), plans, pause)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> Any:
        yield
        journal.close()

    app = Starlette(
        routes=[
            Route("/v1/openapi.yaml", _openapi),
            Route("/livez", _ready),
            Route("/readyz", _ready),
            Mount("/v1", Gate(chaotic, door, limits)),
            *Controls(records, clock, key, door, clinic, limits, chaotic).routes(),
            *Chart(records, documents).routes(),
        ],
        exception_handlers={404: _missing},
        lifespan=lifespan,
    )
    app.state.close = journal.close
    app.state.operations = contract.operations
    return app


def _contract(records: Records, door: Door, profile: Profile) -> tuple[Contract, DocumentsApi]:
    """The operations of the contract over these records."""
    once = Idempotency(records, door.clock, profile.idempotency.hours if profile.idempotency else DAY_HOURS)
    uploads = Uploads(records, door, profile.content)
    documents = DocumentsApi(records, door, uploads)
    contacts, plain = ContactsApi(records, door, once), PlainApi(door, once, uploads)
    apis = Apis(door, contacts, documents, plain, SharesApi(records, door, once), ExportsApi(records, door, once))
    return Contract(apis), documents


async def _ready(_: Request) -> Response:
    """The journal is read before the port opens: whoever answers is ready."""
    return answer({"service": "sandbox", "status": "ready"})


async def _missing(_: Request, __: Exception) -> Response:
    """Nothing stands at this address, not even for the chart."""
    return problem("not-found")


async def _openapi(_: Request) -> Response:
    """The contract itself."""
    return Response(files(PACKAGE).joinpath("openapi.yaml").read_bytes(), media_type="application/yaml")


async def serve_sandbox(settings: SandboxSettings | None = None) -> None:
    """Serve until SIGINT or SIGTERM."""
    chosen = settings or SandboxSettings()
    app = create_app(
        chosen.sandbox_state or PlatformSettings().healthcare_records_home / "sandbox",
        api_key=chosen.carepatron_api_key.get_secret_value(),
        key_file=chosen.carepatron_api_key_file,
        provider_id=chosen.sandbox_provider_id,
        chaos=chosen.sandbox_chaos,
        switches=Switches(quota_bytes=chosen.sandbox_quota_bytes),
    )
    config = uvicorn.Config(
        app,
        host=chosen.sandbox_http_host,
        port=chosen.sandbox_http_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
    )
    await uvicorn.Server(config).serve()
