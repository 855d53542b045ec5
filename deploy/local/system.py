"""The whole system on one machine: its parts, how they find each other, and running them until the work is done or a signal comes."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from deploy.local.home import Home
from deploy.local.kafka import LocalKafka
from deploy.local.ports import choose_ports
from deploy.local.postgres import LocalPostgres
from deploy.local.processes import LOOPBACK
from deploy.local.programs import Errand, Program
from deploy.local.runtime import Runtime, remove_runtime, write_runtime
from deploy.local.screen import PlainScreen
from deploy.local.settings import LocalSettings
from deploy.local.supervisor import Part, Supervisor

DATABASE = "healthcare_records"
COMMAND = (sys.executable, "-m", "services.cli")
INTERRUPTED = 130  # 128 + SIGINT
SERVICES = {  # service: the prefix of its settings; in the order of starting, the last stage first
    "sandbox": "SANDBOX",
    "audit": "AUDIT",
    "writer": "CAREPATRON_WRITER",
    "normalizer": "NORMALIZER",
    "ingest": "INGEST",
}
Body = Callable[[Runtime], Awaitable[int]]


class System:
    """The parts on one folder, and what they are told. Nothing runs yet."""

    def __init__(self, home: Home, settings: LocalSettings, say: Callable[[str], None]) -> None:
        self._path = home.path
        self._held = (home.lock,)
        here = {
            "kafka": not settings.kafka_bootstrap_servers,
            "postgres": not settings.database_url,
            "sandbox": not settings.carepatron_base_url,
        }
        services = [one for one in SERVICES if here.get(one, True)]
        self.ports = choose_ports(settings, {name for name, is_here in here.items() if is_here} | set(services))
        self.parts: list[Part] = []
        self.environment = self._environment(settings, home.api_key() if here["sandbox"] else settings.carepatron_api_key)
        if here["kafka"]:
            kafka = LocalKafka(self._path / "kafka", port=self.ports["kafka"], log=self._log("kafka"), say=say)
            self._add(Part(kafka, "kafka", kafka.bootstrap))
            self.environment["KAFKA_BOOTSTRAP_SERVERS"] = kafka.bootstrap
        if here["postgres"]:
            postgres = LocalPostgres(self._path / "postgres", port=self.ports["postgres"], databases=(DATABASE,), log=self._log("postgres"))
            self._add(Part(postgres, "postgres", f"{LOOPBACK}:{postgres.port}"))
            self.environment["DATABASE_URL"] = postgres.url(DATABASE)
        for name, arguments, needs in (("migrate", ("migrate",), ("postgres",)), ("topics", ("topics", "apply"), ("kafka",))):
            errand = Errand(name, [*COMMAND, *arguments], self._log(name), env=self.environment)
            self._add(Part(errand, name, "", needs, is_errand=True))
        for name in services:
            port = self.ports[name]
            program = Program(name, [*COMMAND, "serve", name], self._log(name), port=port, env=self.environment)
            # the services wait for each other by themselves: only what they store into has to be there
            self._add(Part(program, name, f"http://{LOOPBACK}:{port}", () if name == "sandbox" else ("migrate", "topics")))

    def runtime(self) -> Runtime:
        """What the other commands are told."""
        return Runtime(
            pid=os.getpid(),
            home=str(self._path),
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            dashboard_url=f"http://{LOOPBACK}:{self.ports['audit']}/",
            addresses={one.name: one.address for one in self.parts if one.address},
            environment=self.environment,
        )

    def _environment(self, settings: LocalSettings, api_key: str) -> dict[str, str]:
        """The variables by which the services find each other."""
        platform = settings.carepatron_base_url or f"http://{LOOPBACK}:{self.ports['sandbox']}/v1"
        found = {
            "HEALTHCARE_RECORDS_HOME": str(self._path),
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
            "DATABASE_URL": settings.database_url,
            "CAREPATRON_BASE_URL": platform,
            "CAREPATRON_API_KEY": api_key,
            "CONTENT_STORE_URL": settings.content_store_url or (self._path / "content").as_uri(),
            "SANDBOX_STATE": str(self._path / "sandbox"),
        }
        for name, prefix in SERVICES.items():
            if name in self.ports:
                found[f"{prefix}_HTTP_PORT"] = str(self.ports[name])
        return found

    def _log(self, name: str) -> Path:
        return self._path / "logs" / f"{name}.log"

    def _add(self, part: Part) -> None:
        part.server.held = self._held
        self.parts.append(part)


async def run_system(home: Home, settings: LocalSettings, screen: PlainScreen, body: Body) -> int:
    """Run the system around `body`; returns the body's exit code, 130 when a signal came before it began.

    Raises Misconfigured with a sentence. Everything is stopped at the end; a second signal does not wait for that.
    """
    remove_runtime(home.path)
    system = System(home, settings, screen.say)
    screen.expect(system.parts)
    supervisor = Supervisor(system.parts, screen, home.path)
    interrupted = _listen_for_signals()
    try:
        code = await _until_interrupted(_start_and_work(system, supervisor, home.path, body), interrupted)
    finally:
        remove_runtime(home.path)
        screen.settle()
        if not await supervisor.stop():
            os._exit(INTERRUPTED)  # a download hangs in a thread that cannot be stopped; our children end with us
    return code


async def _start_and_work(system: System, supervisor: Supervisor, home: Path, body: Body) -> int:
    """Start, do the work and look after the parts meanwhile."""
    await supervisor.start()
    runtime = system.runtime()
    write_runtime(home, runtime)
    work = asyncio.ensure_future(body(runtime))
    watch = asyncio.create_task(supervisor.watch())
    try:
        await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
        if watch.done():
            watch.result()  # raises: it ends in no other way
        return work.result()
    finally:
        for task in (work, watch):
            task.cancel()
        await asyncio.wait({work, watch})


async def _until_interrupted(work: Awaitable[int], interrupted: asyncio.Event) -> int:
    """The work's result, or 130 as soon as a signal has come and the work has been put down."""
    task = asyncio.ensure_future(work)
    signalled = asyncio.create_task(interrupted.wait())
    try:
        await asyncio.wait({task, signalled}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait({task})
        return INTERRUPTED
    finally:
        signalled.cancel()


def _listen_for_signals() -> asyncio.Event:
    """Set by the first signal to stop; the second one ends the process, and its children with it."""
    interrupted = asyncio.Event()

    def on_signal() -> None:
        if interrupted.is_set():
            os._exit(INTERRUPTED)
        interrupted.set()

    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(one, on_signal)
    return interrupted
