"""How every service runs: logs, HTTP door with /livez /readyz /metrics, dependencies awaited, FastStream app, an orderly stop."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
import uvloop
from faststream import FastStream
from faststream.kafka import KafkaBroker
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from shared.errors import Misconfigured, Unavailable
from shared.logs import configure_logs, get_logger
from shared.metrics import REGISTRY
from shared.settings import ServiceSettings
from shared.tasks import log_tasks

EXIT_OK, EXIT_TROUBLE, EXIT_MISCONFIGURED = 0, 1, 2
WAIT_SECONDS = (0.5, 1.0, 2.0, 5.0)  # between tries while something is away at the start; the last one repeats
log = get_logger(__name__)

Check = Callable[[], bool]


@dataclass
class Service:
    """A service while it runs. `build` fills it: routes, readiness checks, the FastStream broker, and what to close."""

    name: str
    settings: ServiceSettings
    stack: AsyncExitStack
    broker: KafkaBroker | None = None
    routes: list[BaseRoute] = field(default_factory=list)
    checks: dict[str, Check] = field(default_factory=dict)
    on_running: list[Callable[[], Awaitable[None]]] = field(default_factory=list)  # after the broker started
    on_stopping: list[Callable[[], Awaitable[None]]] = field(default_factory=list)  # before the broker stops: drain, commit
    exit_code: int = EXIT_OK
    is_running: bool = False
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self, exit_code: int = EXIT_OK) -> None:
        """Ask for an orderly stop."""
        self.exit_code = self.exit_code or exit_code
        self.stopping.set()

    def troubles(self) -> list[str]:
        """What keeps the service from being ready, by name."""
        if not self.is_running or self.stopping.is_set():
            return ["starting" if not self.stopping.is_set() else "stopping"]
        return [name for name, check in self.checks.items() if not check()]


Build = Callable[[Service], Awaitable[None]]


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    return host in ("127.0.0.1", "::1", "localhost")


class _Server(uvicorn.Server):
    """Uvicorn without its own signal handlers: the service decides when it stops."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def run_service(name: str, settings: ServiceSettings, build: Build) -> int:
    """Run a service until SIGINT or SIGTERM; returns the exit code. The entry point of `healthcare-records serve`."""
    configure_logs(name, settings.platform.log_level, settings.platform.log_format)
    return uvloop.run(_run(name, settings, build))


async def _run(name: str, settings: ServiceSettings, build: Build) -> int:
    """Open the door, wait for what is needed, run, stop in order."""
    async with AsyncExitStack() as stack:
        service = Service(name, settings, stack)
        loop = asyncio.get_running_loop()
        for one in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(one, service.stop)
        loop.add_signal_handler(signal.SIGUSR1, log_tasks)
        try:
            async with _door(service):
                await _until_stopped(service, build)
        except Misconfigured as error:
            log.error("misconfigured", why=str(error))
            return EXIT_MISCONFIGURED
        return service.exit_code


async def _until_stopped(service: Service, build: Build) -> None:
    """Build the service, retrying while something is away, and run its FastStream app."""
    stopped = asyncio.create_task(service.stopping.wait())
    if not await _attempt(service, build, stopped):
        return
    broker = service.broker
    if broker is None:
        service.is_running = True
        await stopped
        return
    app = FastStream(broker, logger=None)
    await app.start()
    try:
        for start in service.on_running:
            await start()
        service.is_running = True
        log.info("service_started", pid=os.getpid())
        await stopped
    finally:
        log.info("service_stopping")
        for halt in service.on_stopping:
            await halt()
        await app.stop()
        log.info("service_stopped", exit_code=service.exit_code)


async def _attempt(service: Service, build: Build, stopped: "asyncio.Task[Any]") -> bool:
    """Build until everything needed answers; False when a stop was asked for first."""
    attempt = 0
    while not service.stopping.is_set():
        try:
            await build(service)
            return True
        except Unavailable as error:
            pause = WAIT_SECONDS[min(attempt, len(WAIT_SECONDS) - 1)]
            log.warning("dependency_unavailable", target=error.target, why=error.why, pause_seconds=pause)
            await service.stack.aclose()
            service.checks.clear()
            attempt += 1
            await asyncio.wait([stopped], timeout=pause)
    return False


@asynccontextmanager
async def _door(service: Service) -> AsyncIterator[None]:
    """Serve HTTP while the body runs. Raises Misconfigured when the port is taken."""
    settings = service.settings
    listener = socket.socket(socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.http_host, settings.http_port))
    except OSError as error:
        raise Misconfigured(
            f"{settings.http_host}:{settings.http_port} cannot be listened on ({type(error).__name__}): choose another port"
        ) from error
    # routes may be added while the service is built: the application reads them at each request
    app = Starlette(routes=_plain_routes(service))
    application = _Late(app, service)
    server = _Server(
        uvicorn.Config(application, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=5, server_header=False)
    )
    task = asyncio.create_task(server.serve(sockets=[listener]))
    log.info("listening", host=settings.http_host, port=listener.getsockname()[1])
    try:
        yield
    finally:
        server.should_exit = True
        await task
        listener.close()


class _Late:
    """An ASGI application whose service adds its routes once it is built."""

    def __init__(self, app: Starlette, service: Service) -> None:
        self._app = app
        self._service = service
        self._taken: Sequence[BaseRoute] = ()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass on, with the routes known by now."""
        if len(self._taken) != len(self._service.routes):
            self._taken = list(self._service.routes)
            self._app.router.routes[:] = [*_plain_routes(self._service), *self._taken]
        await self._app(scope, receive, send)


def _plain_routes(service: Service) -> list[BaseRoute]:
    """The three routes that every service has; they tell names and numbers only."""

    async def livez(_: Request) -> Response:
        return JSONResponse({"service": service.name, "status": "alive"})

    async def readyz(_: Request) -> Response:
        troubles = service.troubles()
        return JSONResponse(
            {"service": service.name, "status": "not ready" if troubles else "ready", "waiting_for": troubles}, 503 if troubles else 200
        )

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)

    return [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]
