"""The whole system on one machine, with stand-ins for our services: it starts, is found, survives kills, and leaves nothing behind."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.home import Home
from deploy.local.ports import USUAL
from deploy.local.processes import answers
from deploy.local.runtime import FILE, Runtime, read_runtime

DRIVER = Path(__file__).with_name("driver.py")
VARIABLES = ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "CAREPATRON_BASE_URL", "CONTENT_STORE_URL")
ANY_PORTS = {setting.upper(): "0" for setting, _ in USUAL.values()}  # the usual ones may be in use where the tests run

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


class Up:
    """`up` on a folder of its own, as often as wanted."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._runs: list[subprocess.Popen[str]] = []

    def start(self, **environment: str) -> subprocess.Popen[str]:
        """Start it; what it says goes to its standard error."""
        bare = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        variables = {**bare, **ANY_PORTS, "HEALTHCARE_RECORDS_HOME": str(self.home), **environment}
        with self.words.open("w") as words:
            run = subprocess.Popen([sys.executable, str(DRIVER)], env=variables, stderr=words, text=True)
        self._runs.append(run)
        return run

    @property
    def words(self) -> Path:
        """What it says."""
        return self.home.with_suffix(".words")

    def start_and_wait(self, **environment: str) -> tuple[subprocess.Popen[str], Runtime]:
        """Start it and wait until other commands can find it."""
        run = self.start(**environment)
        until(lambda: read_runtime(self.home) is not None or run.poll() is not None, 60)
        runtime = read_runtime(self.home)
        assert runtime, self.words.read_text()
        return run, runtime

    def refusal(self, **environment: str) -> str:
        """Start it where it must refuse; returns the sentence."""
        run = self.start(**environment)
        assert run.wait(60) == 1, self.words.read_text()
        return " ".join(self.words.read_text().split())

    def processes(self) -> list[int]:
        """Every process that works on the folder."""
        found = []
        for one in Path("/proc").iterdir():
            if not one.name.isdigit() or int(one.name) == os.getpid():
                continue
            try:
                command, folder = (one / "cmdline").read_bytes(), os.readlink(one / "cwd")
                variables = (one / "environ").read_bytes()
            except OSError:
                continue
            if str(self.home).encode() in command + variables or folder.startswith(str(self.home)):
                found.append(int(one.name))
        return found

    def close(self) -> None:
        """Stop what still runs."""
        for run in self._runs:
            if run.poll() is None:
                run.terminate()
                run.wait(60)


@pytest.fixture
def up(state_folder: Path, request: pytest.FixtureRequest) -> Iterator[Up]:
    """A system of the test's own."""
    one = Up(state_folder / f"home-{request.node.name}")
    yield one
    one.close()


def until(check: Callable[[], bool], seconds: float) -> None:
    """Wait for a check to come true."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_ready(address: str) -> bool:
    """Whether a service answers."""
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_everything_runs_can_be_found_and_stops_in_order(up: Up) -> None:
    run, runtime = up.start_and_wait()
    services = [address for address in runtime.addresses.values() if address.startswith("http")]
    ports = [int(address.rpartition(":")[2]) for address in runtime.addresses.values()]

    assert [is_ready(one) for one in services] == [True] * 5
    assert all(answers(port) for port in ports)
    assert runtime.environment["KAFKA_BOOTSTRAP_SERVERS"] == runtime.addresses["kafka"]
    assert (up.home / FILE).stat().st_mode & 0o777 == 0o600
    assert {"kafka.log", "postgres.log", "ingest.log"} <= {one.name for one in (up.home / "logs").iterdir()}

    run.send_signal(signal.SIGINT)

    assert run.wait(60) == 0
    assert read_runtime(up.home) is None
    assert up.processes() == []
    assert not any(answers(port) for port in ports)


def test_after_a_kill_nothing_is_left_and_the_next_start_works(up: Up) -> None:
    run, runtime = up.start_and_wait()
    key = runtime.environment["CAREPATRON_API_KEY"]

    run.kill()
    run.wait()
    until(lambda: up.processes() == [], 10)
    _, again = up.start_and_wait()

    assert key == again.environment["CAREPATRON_API_KEY"]
    assert runtime.environment["DATABASE_URL"].split("@")[0] == again.environment["DATABASE_URL"].split("@")[0]


def test_a_start_right_after_a_kill_waits_for_what_is_left(up: Up) -> None:
    run, _ = up.start_and_wait()

    run.kill()
    run.wait()
    _, again = up.start_and_wait()

    assert again.pid != run.pid


@pytest.mark.parametrize("part", ["kafka", "postgres", "ingest"])
def test_a_part_that_is_killed_comes_back_on_its_port(up: Up, part: str) -> None:
    _, runtime = up.start_and_wait()
    port = int(runtime.addresses[part].rpartition(":")[2])
    marks = {"kafka": b"kafka.Kafka", "postgres": b"bin/postgres\0-D", "ingest": b"serve\0ingest"}

    victims = [pid for pid in up.processes() if _runs(pid, marks[part])]
    assert len(victims) == 1
    os.kill(victims[0], signal.SIGKILL)

    until(lambda: f"{part}" in up.words.read_text() and "restarted" in up.words.read_text(), 60)
    assert answers(port)


def test_a_second_start_on_the_folder_is_refused(up: Up) -> None:
    run, _ = up.start_and_wait()

    assert f"another healthcare-records is running here (pid {run.pid}" in up.refusal()
    assert read_runtime(up.home) is not None


def test_a_taken_port_that_was_asked_for_is_refused(up: Up) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        assert f"port {port} for audit (AUDIT_HTTP_PORT) is taken" in up.refusal(AUDIT_HTTP_PORT=port)
    assert up.processes() == []


def test_what_is_elsewhere_is_not_started(up: Up) -> None:
    elsewhere = {
        "KAFKA_BOOTSTRAP_SERVERS": "kafka.test:9092",
        "DATABASE_URL": "postgresql://db.test/x",
        "CAREPATRON_BASE_URL": "https://p.test/v1",
    }

    _, runtime = up.start_and_wait(**elsewhere)

    assert {"audit", "writer", "normalizer", "ingest"} == runtime.addresses.keys()
    assert elsewhere == {name: runtime.environment[name] for name in elsewhere}


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("kafka/data/meta.properties", "Kafka's storage"),
        ("postgres/data/PG_VERSION", "PostgreSQL's data"),
        ("postgres/data/global/pg_control", "PostgreSQL's data"),
        ("postgres/password", "PostgreSQL's password"),
        ("format.json", "has the format unreadable"),
    ],
)
def test_a_damaged_folder_is_refused_and_left_alone(up: Up, damage: str, sentence: str) -> None:
    with Home.open(up.home):
        pass
    for part in ("kafka", "postgres"):
        (up.home / part / "data" / "global").mkdir(parents=True)
    (up.home / "kafka/data/meta.properties").write_text("version=1\ncluster.id=AAAAAAAAAAAAAAAAAAAAAA\nnode.id=1\n")
    (up.home / "postgres/data/PG_VERSION").write_text("18\n")
    (up.home / "postgres/data/global/pg_control").write_bytes(b"control")
    (up.home / "postgres/password").write_text("password")
    (up.home / damage).write_text("") if damage == "format.json" else (up.home / damage).unlink()

    refusal = up.refusal()

    assert sentence in refusal
    assert "Nothing was changed" in refusal
    assert up.processes() == []


def test_data_of_another_version_is_refused(up: Up) -> None:
    with Home.open(up.home):
        pass
    (up.home / "postgres/data/global").mkdir(parents=True)
    (up.home / "postgres/data/global/pg_control").write_bytes(b"control")
    (up.home / "postgres/data/PG_VERSION").write_text("12\n")
    (up.home / "postgres/password").write_text("password")

    assert "was made by version 12" in up.refusal()


def test_a_start_that_was_cut_off_is_made_up_for(up: Up) -> None:
    with Home.open(up.home):
        pass
    for part in ("kafka", "postgres"):
        (up.home / part / "data.new").mkdir()
        (up.home / part / "data.new" / "half").write_text("half")

    up.start_and_wait()

    assert not (up.home / "kafka" / "data.new").exists()


def _runs(pid: int, mark: bytes) -> bool:
    """Whether a process is the program itself and not its keeper."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return mark in command and b"keeper.py" not in command
