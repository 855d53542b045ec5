"""Where the system that runs on this machine can be reached: written by `up`, read by every other command."""

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.local.processes import is_alive
from shared.settings import PlatformSettings

FILE = "runtime.json"
LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Runtime:
    """A running system: its supervisor and the environment that its services were given."""

    pid: int
    home: str
    started: str  # ISO 8601
    dashboard_url: str
    addresses: dict[str, str]  # by process, for people
    environment: dict[str, str]  # by variable, holds secrets


def home_folder() -> Path:
    """The folder with the state of the local system."""
    return PlatformSettings().healthcare_records_home.resolve()


def read_runtime(home: Path) -> Runtime | None:
    """The system running on a folder, None when there is none."""
    try:
        if not _is_locked(home / LOCK):
            return None
        runtime = Runtime(**json.loads((home / FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return runtime if is_alive(runtime.pid) else None  # the processes of a killed supervisor hold the lock for a moment


def environment(runtime: Runtime) -> dict[str, str]:
    """The environment variables with which a command finds the running system."""
    return dict(runtime.environment)


def write_runtime(home: Path, runtime: Runtime) -> None:
    """Make the running system known, readable for this account only; never half a file."""
    fresh = home / f"{FILE}.new"
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(asdict(runtime), indent=2))
    fresh.replace(home / FILE)


def remove_runtime(home: Path) -> None:
    """Forget the running system."""
    (home / FILE).unlink(missing_ok=True)


def _is_locked(file: Path) -> bool:
    """Whether somebody holds the folder's lock."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
