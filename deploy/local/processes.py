"""Child processes under a keeper, free ports, and waiting for a port: what Kafka, PostgreSQL and the services are started with."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from shared.errors import Misconfigured

LOOPBACK = "127.0.0.1"
KEEPER = Path(__file__).with_name("keeper.py")


class Child:
    """A process that ends with us, whatever happens to us."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        stop_signal: str = "SIGTERM",
        grace_seconds: float = 30.0,
        user: str = "-",
        env: dict[str, str] | None = None,
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._grace = grace_seconds
        with log.open("ab") as out:
            self._keeper = subprocess.Popen(
                [sys.executable, "-S", "-E", str(KEEPER), stop_signal, str(grace_seconds), user, *command],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                env={**os.environ, **(env or {})},
            )

    @property
    def pid(self) -> int:
        """Of the process itself; of its keeper while it is being started."""
        try:
            children = Path(f"/proc/{self._keeper.pid}/task/{self._keeper.pid}/children").read_text().split()
        except OSError:
            return self._keeper.pid
        return int(children[0]) if children else self._keeper.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._keeper.poll()

    def stop(self) -> int:
        """Ask it to stop, wait, insist; returns its exit code."""
        if self._keeper.stdin and not self._keeper.stdin.closed:
            self._keeper.stdin.close()
        try:
            return self._keeper.wait(self._grace + 10)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            return self._keeper.wait()

    def kill(self) -> None:
        """SIGKILL to the process, as a fault would do."""
        if self.returncode is None and self.pid != self._keeper.pid:
            os.kill(self.pid, 9)
        self.stop()


def free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether a port can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Whether somebody listens on a port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((LOOPBACK, port)) == 0


def wait_until(what: str, check: Callable[[], bool], child: Child, seconds: float, log: Path) -> None:
    """Wait for a check; raises Misconfigured with the log's place when the process ends or the time is over."""
    deadline = time.monotonic() + seconds
    while not check():
        if child.returncode is not None:
            raise Misconfigured(f"{what} ended while starting (exit code {child.returncode}): see {log}")
        if time.monotonic() > deadline:
            raise Misconfigured(f"{what} did not answer within {seconds:.0f} s: see {log}")
        time.sleep(0.05)
