"""Children end with us, however we end; their last words are found."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local.processes import Child, last_words

SLEEPER = "import time; print('awake', flush=True); time.sleep(60)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('awake', flush=True); time.sleep(60)"
SUPERVISOR = """
import sys, time
from pathlib import Path
from deploy.local.processes import Child
child = Child([sys.executable, "-c", sys.argv[2]], Path(sys.argv[1]))
while "awake" not in Path(sys.argv[1]).read_text():
    time.sleep(0.02)
print(child.pid, flush=True)
time.sleep(60)
"""


def eventually(check: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether a check comes true in time."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has collected yet counts."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def start(code: str, log: Path, **options: object) -> Child:
    """A child that is awake."""
    child = Child([sys.executable, "-c", code], log, **options)  # type: ignore[arg-type]
    assert eventually(lambda: "awake" in log.read_text())
    return child


linux_only = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")


@linux_only
@pytest.mark.parametrize("code", [SLEEPER, DEAF])
def test_a_child_ends_when_its_supervisor_is_killed(tmp_path: Path, code: str) -> None:
    supervisor = subprocess.Popen([sys.executable, "-c", SUPERVISOR, str(tmp_path / "log"), code], stdout=subprocess.PIPE)
    assert supervisor.stdout
    pid = int(supervisor.stdout.readline())

    supervisor.kill()
    supervisor.communicate()

    assert eventually(lambda: is_gone(pid))


@linux_only
def test_a_child_ends_when_its_keeper_is_killed(tmp_path: Path) -> None:
    child = start(SLEEPER, tmp_path / "log")
    pid = child.pid
    keeper = child._keeper

    keeper.kill()
    keeper.wait()

    assert eventually(lambda: is_gone(pid))
    child.stop()


def test_a_stop_is_asked_for_first(tmp_path: Path) -> None:
    polite = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print('awake', flush=True); time.sleep(60)"

    assert start(polite, tmp_path / "log").stop() == 7


def test_a_deaf_child_is_killed_after_its_grace(tmp_path: Path) -> None:
    assert start(DEAF, tmp_path / "log", grace_seconds=0.3).stop() == 128 + signal.SIGKILL


def test_a_kill_does_not_ask(tmp_path: Path) -> None:
    assert start(DEAF, tmp_path / "log").kill() == 128 + signal.SIGKILL


def test_an_end_is_noticed_with_its_code(tmp_path: Path) -> None:
    child = Child([sys.executable, "-c", "raise SystemExit(3)"], tmp_path / "log")

    assert eventually(lambda: child.returncode is not None)
    assert child.stop() == 3


def test_ctrl_c_of_the_terminal_does_not_reach_children(tmp_path: Path) -> None:
    child = start(SLEEPER, tmp_path / "log")

    assert child._keeper.pid == os.getpgid(child._keeper.pid)
    child.stop()


def test_last_words_are_the_last_reason() -> None:
    log = Path(__file__).with_name("nothing.log")

    assert last_words(log) == ""


def test_last_words_leave_stack_traces_out(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("fine\njava.io.IOException: no space left\n\tat java.lang.Exception.run\nbye\n")

    assert "no space left" in last_words(log)
    assert "at java" not in last_words(log)


def test_a_large_log_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "part.log"
    log.write_text("x" * 100)
    monkeypatch.setattr("deploy.local.processes.LOG_BYTES", 99)

    start(SLEEPER, log).stop()

    assert (tmp_path / "part.log.1").read_text() == "x" * 100


def test_last_words_of_a_service_are_its_reason(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text('{"event": "misconfigured", "why": "topics are missing", "level": "error"}\n')

    assert last_words(log) == " saying “topics are missing”"
