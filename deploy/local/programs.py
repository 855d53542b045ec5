"""Our own processes on this machine: a service that answers over HTTP, and a command that runs to its end."""

import http.client
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.local.processes import LOOPBACK, Child, Server


class Program(Server):
    """A service: ready when /readyz says so."""

    def __init__(self, name: str, command: Sequence[str], log: Path, *, port: int, env: Mapping[str, str]) -> None:
        super().__init__(name, log)
        self.port = port
        self._command = command
        self._env = env

    def start(self) -> None:
        """Start the service."""
        self._child = Child(self._command, self.log, grace_seconds=30, env=self._env, held=self.held)

    def is_ready(self) -> bool:
        """Whether it takes work."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class Errand(Server):
    """A command that is ready when it has ended well."""

    def __init__(self, name: str, command: Sequence[str], log: Path, *, env: Mapping[str, str]) -> None:
        super().__init__(name, log)
        self._command = command
        self._env = env

    def start(self) -> None:
        """Start the command."""
        self._child = Child(self._command, self.log, grace_seconds=10, env=self._env, held=self.held)

    def is_ready(self) -> bool:
        """Whether it has ended well."""
        return self.returncode == 0
