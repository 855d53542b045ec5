"""The sandbox: a destination that keeps the modelled contract, for development, demonstrations and tests. Not Carepatron's."""

from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from services.carepatron_writer.platforms.carepatron.sandbox.chaos import Chaos, Plan
from services.carepatron_writer.platforms.carepatron.sandbox.chart import Chart
from services.carepatron_writer.platforms.carepatron.sandbox.contacts_api import ContactsApi
from services.carepatron_writer.platforms.carepatron.sandbox.documents_api import DocumentsApi
from services.carepatron_writer.platforms.carepatron.sandbox.door import Door
from services.carepatron_writer.platforms.carepatron.sandbox.journal import Journal
from services.carepatron_writer.platforms.carepatron.sandbox.parsing import TooLarge, Unreadable, read_object
from services.carepatron_writer.platforms.carepatron.sandbox.problems import answer, problem
from services.carepatron_writer.platforms.carepatron.sandbox.records import Records
from shared.errors import Misconfigured
from shared.settings import PlatformSettings, settings_config

ACCOUNT = "/providers/{providerId}"
CONTACT = ACCOUNT + "/contacts/{contactId}"
DOCUMENT = CONTACT + "/documents/{externalId}"


class SandboxSettings(BaseSettings):
    """Read from the environment without a prefix."""

    model_config = settings_config("")

    sandbox_http_host: str = Field(default="127.0.0.1", description="address of the sandbox")
    sandbox_http_port: int = Field(default=8090, description="port of the sandbox")
    sandbox_state: Path | None = Field(default=None, description="folder of the sandbox's journal; none: HEALTHCARE_RECORDS_HOME/sandbox")
    sandbox_provider_id: str | None = Field(default=None, description="the only account that the key opens; none: any")
    sandbox_chaos: str = Field(default="none", description="profile or profile:rate, see POST /sandbox/chaos")
    carepatron_api_key: SecretStr = Field(default=SecretStr("sandbox"), description="the key that clients must send")
    carepatron_api_key_file: Path | None = Field(default=None, description="file with the key, before the key itself")

    @property
    def api_key(self) -> str:
        """The key. Raises Misconfigured when its file cannot be read."""
        try:
            file = self.carepatron_api_key_file
            return file.read_text("ascii").strip() if file else self.carepatron_api_key.get_secret_value()
        except (OSError, UnicodeDecodeError) as error:
            raise Misconfigured("CAREPATRON_API_KEY_FILE cannot be read") from error


def utc_now() -> str:
    """The time in RFC 3339, microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def create_app(
    state: Path, *, api_key: str, provider_id: str | None = None, chaos: str = "none", now: Callable[[], str] = utc_now
) -> Starlette:
    """The application over a folder of its own. Raises Misconfigured when the folder is in use or the profile unknown."""
    try:
        plan = Plan.read(chaos)
    except ValueError as error:
        raise Misconfigured(f"SANDBOX_CHAOS: {error}") from error
    records = Records(Journal(state))
    door = Door(records, api_key=api_key, provider_id=provider_id, now=now)
    contacts, documents = ContactsApi(records, door), DocumentsApi(records, door)
    contract = Chaos(Starlette(routes=contract_routes(door, contacts, documents)), plan)
    chart = Chart(records, documents)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> Any:
        yield
        records.journal.close()

    app = Starlette(
        routes=[
            Route("/v1/openapi.yaml", _openapi),
            Route("/livez", _ready),
            Route("/readyz", _ready),
            Mount("/v1", contract),
            *_own_routes(records, contacts, contract),
            *chart.routes(),
        ],
        lifespan=lifespan,
    )
    app.state.close = records.journal.close
    return app


def contract_routes(door: Door, contacts: ContactsApi, documents: DocumentsApi) -> list[BaseRoute]:
    """The operations of openapi.yaml, and no other."""

    async def ping(_: Request) -> Response:
        return answer({"status": "ok"})

    async def secure_ping(request: Request) -> Response:
        account = door.account(request)
        return account if isinstance(account, Response) else answer({"status": "ok"})

    # the busiest first: routes are tried in order
    return [
        Route(DOCUMENT, documents.put, methods=["PUT"]),
        Route(DOCUMENT, documents.get, methods=["GET"]),
        Route(ACCOUNT + "/contacts/search", contacts.search, methods=["POST"]),
        Route(CONTACT, contacts.get, methods=["GET"]),
        Route(CONTACT, contacts.replace, methods=["PUT"]),
        Route(ACCOUNT + "/contacts", contacts.list, methods=["GET"]),
        Route(ACCOUNT + "/contacts", contacts.create, methods=["POST"]),
        Route(CONTACT + "/documents", documents.list, methods=["GET"]),
        Route(DOCUMENT + "/content", documents.content, methods=["GET"]),
        Route(DOCUMENT + "/withdraw", documents.withdraw, methods=["POST"]),
        Route("/ping", ping, methods=["GET"]),
        Route(ACCOUNT + "/secure-ping", secure_ping, methods=["GET"]),
    ]


def _own_routes(records: Records, contacts: ContactsApi, chaos: Chaos) -> list[BaseRoute]:
    """What only a sandbox has: its journal of effects, a hash of its state, chaos, and the clinic's hand on a contact."""

    async def effects(request: Request) -> Response:
        first = int(request.query_params.get("after", 0))
        return answer({"effects": records.effects[first:], "total": len(records.effects)})

    async def state_hash(_: Request) -> Response:
        documents = sum(len(one.documents) for one in records.contacts.values())
        counts = {"contacts": len(records.contacts), "documents": documents, "effects": len(records.effects)}
        return answer({"hash": records.state_hash(), **counts})

    async def set_chaos(request: Request) -> Response:
        try:
            chaos.plan = Plan.check(await read_object(request))
        except (TooLarge, Unreadable, ValueError):
            return problem("invalid-request")
        return answer({"profile": chaos.plan.profile, "rate": chaos.plan.rate})

    async def change_status(request: Request) -> Response:
        contact = records.contacts.get(request.path_params["contactId"])
        if contact is None:
            return problem("not-found")
        try:
            body = await read_object(request)
        except (TooLarge, Unreadable):
            return problem("invalid-request")
        if body.get("status") not in ("active", "archived", "merged"):
            return problem("invalid-request", errors=[("/status", "must be active, archived or merged")])
        contacts.change_status(contact, body["status"], body.get("mergedInto"))
        return answer(contact.as_json())

    return [
        Route("/sandbox/effects", effects, methods=["GET"]),
        Route("/sandbox/state-hash", state_hash, methods=["GET"]),
        Route("/sandbox/chaos", set_chaos, methods=["POST"]),
        Route("/sandbox/contacts/{contactId}/status", change_status, methods=["POST"]),
    ]


async def _ready(_: Request) -> Response:
    """The journal is read before the port opens: whoever answers is ready."""
    return answer({"service": "sandbox", "status": "ready"})


async def _openapi(_: Request) -> Response:
    """The contract itself."""
    text = files("services.carepatron_writer.platforms.carepatron").joinpath("openapi.yaml").read_bytes()
    return Response(text, media_type="application/yaml")


async def serve_sandbox(settings: SandboxSettings | None = None) -> None:
    """Serve until SIGINT or SIGTERM."""
    chosen = settings or SandboxSettings()
    app = create_app(
        chosen.sandbox_state or PlatformSettings().healthcare_records_home / "sandbox",
        api_key=chosen.api_key,
        provider_id=chosen.sandbox_provider_id,
        chaos=chosen.sandbox_chaos,
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
