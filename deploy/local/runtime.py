"""What runs here: ports and addresses of the local system, written by `up`, read by every other command."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

RUNTIME_FILE = "runtime.json"


@dataclass(frozen=True, slots=True)
class Runtime:
    """The running system. Empty ports belong to parts that run elsewhere."""

    pid: int
    home: str
    kafka_bootstrap_servers: str
    database_url: str
    carepatron_base_url: str
    carepatron_api_key_file: str
    content_store_url: str
    ports: dict[str, int]  # by service: ingest, normalizer, writer, audit, sandbox

    @property
    def dashboard_url(self) -> str:
        """The audit store's page."""
        return f"http://127.0.0.1:{self.ports['audit']}/"

    @property
    def chart_url(self) -> str | None:
        """The sandbox's chart view; None when the platform is elsewhere."""
        return f"http://127.0.0.1:{self.ports['sandbox']}/" if "sandbox" in self.ports else None


def home_folder() -> Path:
    """The state folder: HEALTHCARE_RECORDS_HOME, else `.healthcare-records` here."""
    return Path(os.environ.get("HEALTHCARE_RECORDS_HOME", ".healthcare-records")).resolve()


def read_runtime(home: Path) -> Runtime | None:
    """The system running on a folder; None when there is none (also after it was killed)."""
    try:
        runtime = Runtime(**json.loads((home / RUNTIME_FILE).read_text()))
        os.kill(runtime.pid, 0)
    except (OSError, ValueError, TypeError):
        return None
    return runtime


def write_runtime(home: Path, runtime: Runtime) -> None:
    """Leave word, all or nothing."""
    fresh = home / f"{RUNTIME_FILE}.new"
    fresh.write_text(json.dumps(asdict(runtime), indent=1))
    fresh.replace(home / RUNTIME_FILE)


def remove_runtime(home: Path) -> None:
    """Take the word back."""
    (home / RUNTIME_FILE).unlink(missing_ok=True)


def environment(runtime: Runtime) -> dict[str, str]:
    """The settings that let services and commands find each other."""
    prefixes = {"ingest": "INGEST", "normalizer": "NORMALIZER", "writer": "CAREPATRON_WRITER", "audit": "AUDIT", "sandbox": "SANDBOX"}
    key_file = Path(runtime.carepatron_api_key_file)
    return {
        "HEALTHCARE_RECORDS_HOME": runtime.home,
        "KAFKA_BOOTSTRAP_SERVERS": runtime.kafka_bootstrap_servers,
        "DATABASE_URL": runtime.database_url,
        "CAREPATRON_BASE_URL": runtime.carepatron_base_url,
        **({"CAREPATRON_API_KEY": key_file.read_text().strip()} if key_file.is_file() else {}),
        "CONTENT_STORE_URL": runtime.content_store_url,
        "SANDBOX_STATE": str(Path(runtime.home) / "sandbox"),
        "AUDIT_PUBLIC_URL": runtime.dashboard_url,
        **{f"{prefixes[name]}_HTTP_PORT": str(port) for name, port in runtime.ports.items()},
    }
