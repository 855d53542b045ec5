"""The supervisor starts in order, restarts with growing pauses, tells what is wrong, and stops in reverse order."""

import asyncio
import os
import shutil
import signal
import sys
import time
from collections import namedtuple
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from deploy.local.processes import Server, free_port
from deploy.local.programs import Errand, Program
from deploy.local.supervisor import Part, Supervisor
from shared.errors import Misconfigured

SERVICE = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class RecordingScreen:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, str]] = []
        self.notes: list[str] = []
        self.said: list[str] = []

    def show(self, name: str, state: str, note: str = "") -> None:
        self.shown.append((name, state))
        self.notes.append(note)

    def say(self, text: str) -> None:
        self.said.append(text)

    def last(self, name: str) -> str:
        """The state of a part."""
        return next((state for one, state in reversed(self.shown) if one == name), "")


def service(folder: Path, name: str, *after: str, code: str = SERVICE) -> Part:
    """A part that answers over HTTP."""
    port = free_port()
    return Part(Program(name, [sys.executable, "-c", code, str(port)], folder / f"{name}.log", port=port, env={}), name, after=after)


def errand(folder: Path, name: str, *after: str, code: str = "") -> Part:
    """A part that runs to its end."""
    return Part(Errand(name, [sys.executable, "-c", code], folder / f"{name}.log", env={}), name, after=after, is_errand=True)


async def eventually(check: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for a check to come true."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def run(parts: list[Part], folder: Path, body: Callable[[Supervisor], Awaitable[None]]) -> RecordingScreen:
    """Run a body with a supervisor and stop everything."""
    screen = RecordingScreen()

    async def main() -> None:
        supervisor = Supervisor(parts, screen, folder, pauses=(0.1, 0.4))
        try:
            await supervisor.start()
            await body(supervisor)
        finally:
            await supervisor.stop()

    asyncio.run(main())
    return screen


async def nothing(_: Supervisor) -> None:
    """Do nothing."""


def pid_of(server: Server) -> int:
    """The process of a server."""
    assert server.child
    return server.child.pid


def test_a_part_starts_when_what_it_needs_is_ready(tmp_path: Path) -> None:
    screen = run(
        [service(tmp_path, "store"), errand(tmp_path, "prepare", "store"), service(tmp_path, "worker", "prepare")], tmp_path, nothing
    )

    states = screen.shown
    assert states.index(("store", "ready")) < states.index(("prepare", "starting"))
    assert states.index(("prepare", "done")) < states.index(("worker", "starting"))
    assert states.index(("worker", "stopped")) < states.index(("store", "stopping"))


def test_a_failed_errand_is_told_with_its_last_words(tmp_path: Path) -> None:
    parts = [errand(tmp_path, "migrate", code="raise SystemExit('error: no such database')"), service(tmp_path, "worker", "migrate")]

    with pytest.raises(Misconfigured, match="migrate did not start: it ended with exit code 1 saying “error: no such database”"):
        run(parts, tmp_path, nothing)

    assert parts[1].server.child is None


def test_a_service_that_ends_while_starting_stops_the_others(tmp_path: Path) -> None:
    parts = [service(tmp_path, "store"), service(tmp_path, "broken", "store", code="raise SystemExit(2)")]

    with pytest.raises(Misconfigured, match="broken did not start: it ended with exit code 2"):
        run(parts, tmp_path, nothing)

    assert parts[0].server.child is None


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds the process in /proc")
def test_a_service_that_dies_is_started_again(tmp_path: Path) -> None:
    part = service(tmp_path, "worker")

    async def body(supervisor: Supervisor) -> None:
        watch = asyncio.create_task(supervisor.watch())
        for _ in range(2):
            before = pid_of(part.server)
            os.kill(before, signal.SIGKILL)
            await eventually(
                lambda before=before: part.server.child is not None and part.server.is_ready() and pid_of(part.server) != before
            )
        watch.cancel()

    screen = run([part], tmp_path, body)

    assert ("worker", "down") in screen.shown


def test_pauses_between_restarts_grow_to_a_limit(tmp_path: Path) -> None:
    flag = tmp_path / "broken"
    part = service(tmp_path, "worker", code=f"import os, sys\nif os.path.exists({str(flag)!r}): sys.exit(5)\n{SERVICE}")
    screens: list[RecordingScreen] = []

    async def body(supervisor: Supervisor) -> None:
        screen = supervisor._screen
        assert isinstance(screen, RecordingScreen)
        screens.append(screen)
        watch = asyncio.create_task(supervisor.watch())
        flag.touch()
        assert part.server.child
        await asyncio.to_thread(part.server.child.kill)
        await eventually(lambda: sum("again in" in note for note in screen.notes) >= 4)
        flag.unlink()
        await eventually(lambda: screen.last("worker") == "ready")
        watch.cancel()

    run([part], tmp_path, body)

    pauses = [note.rpartition("again in ")[2] for note in screens[0].notes if "again in" in note]
    assert pauses[:4] == ["0.1 s", "0.2 s", "0.4 s", "0.4 s"]


def test_a_full_disk_ends_the_watch_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10 << 30, 10 << 30, 7 << 20))

    async def body(supervisor: Supervisor) -> None:
        await supervisor.watch()

    with pytest.raises(Misconfigured, match=r"is full \(7 MiB free\)"):
        run([service(tmp_path, "worker")], tmp_path, body)
