"""Which port each part gets: the one that was asked for, else the usual one, else any that is free.

A usual port is claimed until this process ends, so that two systems that start at once do not choose the same one.
"""

import fcntl
import os
import tempfile
from pathlib import Path

from deploy.local.processes import free_port, is_free
from deploy.local.settings import LocalSettings
from shared.errors import Misconfigured

USUAL = {  # part: setting, usual port
    "kafka": ("kafka_port", 9092),
    "postgres": ("postgres_port", 5433),
    "sandbox": ("sandbox_http_port", 8090),
    "audit": ("audit_http_port", 8080),
    "writer": ("carepatron_writer_http_port", 8083),
    "normalizer": ("normalizer_http_port", 8082),
    "ingest": ("ingest_http_port", 8081),
}


def choose_ports(settings: LocalSettings, parts: set[str]) -> dict[str, int]:
    """A port for each part that is started here. Raises Misconfigured when one that was asked for is taken."""
    asked = {name: getattr(settings, setting) for name, (setting, _) in USUAL.items() if name in parts}
    chosen: dict[str, int] = {}
    for name, port in asked.items():
        if port:
            if port in chosen.values() or not _claim(port):
                raise Misconfigured(f"port {port} for {name} ({USUAL[name][0].upper()}) is taken: free it, or choose another one")
            chosen[name] = port
    for name, port in asked.items():
        usual = USUAL[name][1]
        if port is None and usual not in chosen.values() and _claim(usual):
            chosen[name] = usual
        elif not port:
            chosen[name] = _another(set(chosen.values()))
    return chosen


def _another(taken: set[int]) -> int:
    """A free port that was not given away yet."""
    while (port := free_port()) in taken:
        pass
    return port


def _claim(port: int) -> bool:
    """Claim a port; False when somebody uses it or another system has claimed it."""
    folder = Path(tempfile.gettempdir()) / f"healthcare-records-ports-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder / str(port), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    if not is_free(port):
        os.close(descriptor)
        return False
    return True  # the open file is the claim
