"""The whole system on one machine: which parts run here, on which ports, and in which order they start."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.kafka import LocalKafka
from deploy.local.postgres import LocalPostgres
from deploy.local.processes import LOOPBACK, free_port, is_free
from deploy.local.runtime import Runtime, environment, remove_runtime, write_runtime
from deploy.local.state_folder import StateFolder
from deploy.local.supervisor import ServicePart, Supervisor, Watched
from shared.errors import Misconfigured

DATABASE = "healthcare_records"
PORTS = {  # name: variable that fixes it, port tried first
    "kafka": ("KAFKA_PORT", 9092),
    "postgres": ("POSTGRES_PORT", 5433),
    "audit": ("AUDIT_HTTP_PORT", 8080),
    "ingest": ("INGEST_HTTP_PORT", 8081),
    "normalizer": ("NORMALIZER_HTTP_PORT", 8082),
    "writer": ("CAREPATRON_WRITER_HTTP_PORT", 8083),
    "sandbox": ("SANDBOX_HTTP_PORT", 8090),
}
SERVICES = ("audit", "writer", "normalizer", "ingest")  # the last stage first, so that nothing waits for its successor


@contextmanager
def running_system(home: Path, say: Callable[[str], None], on_change: Callable[[Watched], None]) -> Iterator[tuple[Runtime, Supervisor]]:
    """Start the system on a folder and stop it in order afterwards. Raises Misconfigured with a sentence; nothing is damaged."""
    folder = StateFolder(home)
    folder.open()
    supervisor = Supervisor(on_change)
    try:
        runtime = _start(folder, supervisor, say)
        write_runtime(home, runtime)
        yield runtime, supervisor
    finally:
        remove_runtime(home)
        supervisor.stop()
        folder.close()


def _start(folder: StateFolder, supervisor: Supervisor, say: Callable[[str], None]) -> Runtime:
    """Start every part that is not configured to be elsewhere."""
    home = folder.path
    ports = _choose_ports()
    kafka = None if "KAFKA_BOOTSTRAP_SERVERS" in os.environ else LocalKafka(home / "kafka", port=ports.pop("kafka"), say=say)
    postgres = None if "DATABASE_URL" in os.environ else LocalPostgres(home / "postgres", port=ports.pop("postgres"))
    has_sandbox = "CAREPATRON_BASE_URL" not in os.environ
    runtime = Runtime(
        pid=os.getpid(),
        home=str(home),
        kafka_bootstrap_servers=kafka.bootstrap if kafka else os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        database_url=postgres.url(DATABASE) if postgres else os.environ["DATABASE_URL"],
        carepatron_base_url=f"http://{LOOPBACK}:{ports['sandbox']}/v1" if has_sandbox else os.environ["CAREPATRON_BASE_URL"],
        carepatron_api_key_file=str(folder.api_key_file()) if has_sandbox else "",
        content_store_url=os.environ.get("CONTENT_STORE_URL") or (home / "content").as_uri(),
        ports={name: port for name, port in ports.items() if name in SERVICES or (name == "sandbox" and has_sandbox)},
    )
    started = [supervisor.begin(name, part) for name, part in (("kafka", kafka), ("postgres", postgres)) if part]
    for one in started:
        supervisor.await_ready(one)
    env = environment(runtime)
    if postgres:
        _create_database(postgres)
    _run_once("migrate", env, home)
    _run_once("topics apply", env, home)
    if has_sandbox:
        supervisor.start("sandbox", _service("sandbox", runtime, env))
    services = [supervisor.begin(name, _service(name, runtime, env)) for name in SERVICES]
    for one in services:
        supervisor.await_ready(one)
    return runtime


def _service(name: str, runtime: Runtime, env: dict[str, str]) -> ServicePart:
    """One service as a process of its own."""
    command = [sys.executable, "-m", "services.cli", "serve", name]
    return ServicePart(command, runtime.ports[name], Path(runtime.home) / "logs" / f"{name}.log", env)


def _choose_ports() -> dict[str, int]:
    """A port for each part: the one configured (must be free), else the usual one, else any."""
    chosen: dict[str, int] = {}
    for name, (variable, usual) in PORTS.items():
        configured = os.environ.get(variable)
        if configured:
            if not configured.isdigit() or not 0 < int(configured) < 65536:
                raise Misconfigured(f"{variable}={configured} is no port")
            if not is_free(int(configured)):
                raise Misconfigured(f"port {configured} ({variable}) is taken: free it, or configure another one")
            chosen[name] = int(configured)
        else:
            chosen[name] = usual if is_free(usual) else free_port()
    return chosen


def _create_database(postgres: LocalPostgres) -> None:
    """Create the database once."""
    import asyncio

    import asyncpg

    async def create() -> None:
        connection = await asyncpg.connect(postgres.url())
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()

    asyncio.run(create())


def _run_once(command: str, env: dict[str, str], home: Path) -> None:
    """Run a command of ours to its end. Raises Misconfigured with its last line."""
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", *command.split()], env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    log = home / "logs" / f"{command.replace(' ', '-')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(done.stdout + done.stderr)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise Misconfigured(f"`healthcare-records {command}` failed: {last} (log {log})")
