"""Starts processes in order, keeps them running, stops them in reverse order; one status line each."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from deploy.local.processes import Child
from shared.errors import Misconfigured

BACKOFF_SECONDS = (0.5, 30.0)  # first pause before a restart, doubling up to the second
STEADY_SECONDS = 30.0  # running that long counts as a fresh start
EXIT_MISCONFIGURED = 2


class Part(Protocol):
    """Something that is started and stopped: Kafka, PostgreSQL, a service."""

    @property
    def child(self) -> Child | None:
        """The process, while there is one."""

    @property
    def log(self) -> Path:
        """Its log."""

    def start(self) -> None:
        """Start the process."""

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Wait until it answers; raises Misconfigured."""

    def stop(self) -> None:
        """Stop in order."""


class ServicePart:
    """One of our own services, ready when it says so."""

    def __init__(self, command: list[str], port: int, log: Path, env: dict[str, str]) -> None:
        self._command = command
        self._port = port
        self._env = env
        self._log = log
        self._child: Child | None = None

    @property
    def child(self) -> Child | None:
        """The process, while there is one."""
        return self._child

    @property
    def log(self) -> Path:
        """Its log."""
        return self._log

    def start(self) -> None:
        """Start the process."""
        self._child = Child(self._command, self._log, env=self._env)

    def is_ready(self) -> bool:
        """Whether /readyz says so."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Wait until it is ready; raises Misconfigured when it ends or the time is over."""
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            if self._child is None or self._child.returncode is not None:
                raise Misconfigured(f"it ended while starting: see {self._log}")
            if time.monotonic() > deadline:
                raise Misconfigured(f"it was not ready within {seconds:.0f} s: see {self._log}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop in order."""
        if self._child:
            self._child.stop()
            self._child = None


@dataclass(slots=True)
class Watched:
    """A part and how it fares."""

    name: str
    part: Part
    state: str = "waiting"
    started_at: float = 0.0
    restarts: int = 0
    retry_at: float | None = None
    pause: float = BACKOFF_SECONDS[0]
    note: str = ""


@dataclass(slots=True)
class Supervisor:
    """The parts in the order in which they start."""

    on_change: Callable[[Watched], None]
    watched: list[Watched] = field(default_factory=list)

    def start(self, name: str, part: Part) -> None:
        """Start a part and wait until it answers. Raises Misconfigured."""
        one = self.begin(name, part)
        self.await_ready(one)

    def begin(self, name: str, part: Part) -> Watched:
        """Start a part without waiting."""
        one = Watched(name, part)
        self.watched.append(one)
        self._say(one, "starting")
        part.start()
        one.started_at = time.monotonic()
        return one

    def await_ready(self, one: Watched) -> None:
        """Wait until a started part answers. Raises Misconfigured."""
        try:
            one.part.wait_ready()
        except Misconfigured as error:
            raise Misconfigured(f"{one.name} did not start: {error}") from error
        self._say(one, "running")

    def check(self) -> None:
        """Look after the parts: restart what ended, with growing pauses. Call it a few times a second."""
        now = time.monotonic()
        for one in self.watched:
            if one.retry_at is not None:
                if now >= one.retry_at:
                    one.retry_at = None
                    one.restarts += 1
                    one.started_at = now
                    one.part.start()
                    self._say(one, "running", f"restarted {one.restarts}×")
                continue
            child = one.part.child
            if child is not None and child.returncode is not None:
                self._plan_restart(one, child.returncode, now)

    def stop(self) -> None:
        """Stop everything, last started first."""
        for one in reversed(self.watched):
            self._say(one, "stopping")
            one.retry_at = None
            one.part.stop()
            self._say(one, "stopped")

    def _plan_restart(self, one: Watched, code: int, now: float) -> None:
        if now - one.started_at > STEADY_SECONDS:
            one.pause = BACKOFF_SECONDS[0]
        one.part.stop()  # reap it
        one.retry_at = now + one.pause
        self._say(one, "down", f"ended with code {code}, restart in {one.pause:g} s, log {one.part.log}")
        one.pause = min(one.pause * 2, BACKOFF_SECONDS[1])

    def _say(self, one: Watched, state: str, note: str = "") -> None:
        one.state, one.note = state, note
        self.on_change(one)
