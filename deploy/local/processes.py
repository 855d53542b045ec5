"""Child processes under a keeper, what a server on this machine looks like, free ports, and waiting for readiness."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from shared.errors import Misconfigured

LOOPBACK = "127.0.0.1"
KEEPER = Path(__file__).with_name("keeper.py")
LOG_BYTES = 10 << 20  # a log larger than this is set aside at the next start


class Child:
    """A process that ends with us, whatever happens to us."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        folder: Path | None = None,
        stop_signal: str = "SIGTERM",
        grace_seconds: float = 30.0,
        user: str = "-",
        env: Mapping[str, str] | None = None,
        held: Sequence[int] = (),
    ) -> None:
        """Start `command` in `folder`; `held` are open files, such as a lock, that stay open until the process is gone."""
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.is_file() and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        self._grace = grace_seconds
        with log.open("ab") as out:
            self._keeper = subprocess.Popen(
                [sys.executable, "-S", "-E", str(KEEPER), stop_signal, str(grace_seconds), user, str(folder or "."), *command],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                env={**os.environ, **(env or {})},
                pass_fds=held,
                process_group=0,  # Ctrl-C of the terminal is for us, who stop our children in order
            )

    @property
    def pid(self) -> int:
        """Of the process itself; of its keeper where that cannot be known."""
        try:
            children = Path(f"/proc/{self._keeper.pid}/task/{self._keeper.pid}/children").read_text().split()
        except OSError:
            return self._keeper.pid
        return int(children[0]) if children else self._keeper.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        code = self._keeper.poll()
        if code is not None:
            self._close()
        return code

    def stop(self) -> int:
        """Ask it to stop, wait, insist; returns its exit code."""
        self._keeper.terminate()
        try:
            return self._keeper.wait(self._grace + 10)
        except subprocess.TimeoutExpired:
            return self.kill()
        finally:
            self._close()

    def kill(self) -> int:
        """SIGKILL to the process, as a fault would do."""
        self._keeper.send_signal(signal.SIGUSR1)
        try:
            return self._keeper.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._keeper.pid, signal.SIGKILL)
            return self._keeper.wait()
        finally:
            self._close()

    def _close(self) -> None:
        if self._keeper.stdin:
            self._keeper.stdin.close()


class Server:
    """Something that runs until it is told to stop, and may then be started again."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self.held: Sequence[int] = ()  # open files that its processes keep open
        self._child: Child | None = None

    @property
    def child(self) -> Child | None:
        """The process, while there is one."""
        return self._child

    @property
    def returncode(self) -> int | None:
        """None while it runs, and before it was started."""
        return self._child.returncode if self._child else None

    def start(self) -> None:
        """Start; `is_ready` tells when it can be used. Raises Misconfigured."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Whether it can be used now."""
        raise NotImplementedError

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Wait until it can be used. Raises Misconfigured with the log's place when it ends or the time is over."""
        if self._child is None:
            raise RuntimeError("not started")
        deadline = time.monotonic() + seconds
        while not self.is_ready() or self._child.returncode is not None:
            if self._child.returncode is not None:
                raise Misconfigured(
                    f"{self.name} ended while starting (exit code {self._child.returncode}){last_words(self.log)}: see {self.log}"
                )
            if time.monotonic() > deadline:
                raise Misconfigured(f"{self.name} did not answer within {seconds:.0f} s: see {self.log}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop in order."""
        if self._child:
            self._child.stop()
            self._child = None

    def kill(self) -> None:
        """SIGKILL, as a fault would do."""
        if self._child:
            self._child.kill()
            self._child = None


def last_words(log: Path) -> str:
    """What a log says last that sounds like a reason, ready to be put into a sentence."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    marks = ("fatal", "error", "exception", "misconfigured", "no space left")
    reasons = [one for one in map(str.strip, lines) if not one.startswith("at ") and any(mark in one.lower() for mark in marks)]
    return f" saying “{_sentence(reasons[-1])}”" if reasons else ""


def _sentence(line: str) -> str:
    """A line of a log without what is meant for machines."""
    try:
        facts = json.loads(line)
        return str(facts.get("why") or facts["event"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return line[:300]


def is_alive(pid: int | str) -> bool:
    """Whether a process is there."""
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (ValueError, OSError):
        return False
    return True


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
    return not answers(port)  # some systems let two listen on one port


def answers(port: int) -> bool:
    """Whether somebody listens on a port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((LOOPBACK, port)) == 0
