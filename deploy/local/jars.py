"""Kafka's jars: fetched from Maven once, checked, remembered, and afterwards used without any network."""

import fcntl
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.errors import Misconfigured

VERSION = "4.3.1"
ARTIFACT = f"org.apache.kafka:kafka_2.13:{VERSION}"
LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"  # lets Kafka write its log; fetched apart, else it decides on versions
MEGABYTES = 45
LIST = f"kafka-{VERSION}-jars.json"
Say = Callable[[str], None]


def silent(_: str) -> None:
    """Say nothing."""


def default_cache() -> Path:
    """Where the list of jars is remembered for every folder of this account."""
    return Path.home() / ".cache" / "healthcare-records"


def fetch_jars(cache: Path, say: Say = silent) -> list[Path]:
    """The jars of Kafka's class path. Raises Misconfigured when they are neither here nor to be had."""
    known = cache / LIST
    jars = _remembered(known)
    if jars:
        return jars
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "fetching.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two starts at once fetch once
        jars = _remembered(known)
        if not jars:
            jars = _fetch(say)
            fresh = known.with_suffix(".new")
            fresh.write_text(json.dumps([str(one) for one in jars]))
            fresh.replace(known)
    return jars


def _remembered(known: Path) -> list[Path]:
    """The jars of the list, if all of them are still there."""
    try:
        jars = [Path(one) for one in json.loads(known.read_text())]
    except (OSError, ValueError):
        return []
    return jars if all(one.is_file() for one in jars) else []


def _fetch(say: Say) -> list[Path]:
    """Fetch, and once more what an interrupted download has left broken."""
    from jgo.config import GlobalSettings
    from jgo.maven import PythonResolver

    say(f"fetching Apache Kafka {VERSION}: about {MEGABYTES} MB, this once")
    resolver = PythonResolver(progress_callback=_Progress(say).file)
    try:
        jars = _build(resolver)
        broken = [one for one in jars if not zipfile.is_zipfile(one)]
        if broken:
            for jar in broken:
                for copy in (jar, *GlobalSettings.load().repo_cache.rglob(jar.name)):
                    copy.unlink(missing_ok=True)
            jars = _build(resolver, update=True)
    except Exception as error:  # jgo raises whatever its transport does
        raise Misconfigured(
            f"Apache Kafka {VERSION} could not be fetched ({type(error).__name__}): the first start needs the network, "
            "or set KAFKA_BOOTSTRAP_SERVERS to use a Kafka that is there"
        ) from error
    say(f"Apache Kafka {VERSION} is here: {len(jars)} jars, {sum(one.stat().st_size for one in jars) / 1e6:.0f} MB")
    return jars


def _build(resolver: Any, *, update: bool = False) -> list[Path]:
    """Kafka's own jars, and what they need to write a log."""
    import jgo

    own, logging = ([Path(one) for one in jgo.build(what, resolver=resolver, update=update).all_jars] for what in (ARTIFACT, LOGGING))
    names = {one.name for one in own}
    return own + [one for one in logging if one.name not in names]


class _Progress:
    """Says how far the download is, every five megabytes."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._bytes = 0
        self._said = 0

    @contextmanager
    def file(self, _name: str, _total: int) -> Iterator[Callable[[int], None]]:
        """For the time of one file: what to call with each chunk's size."""
        yield self._add

    def _add(self, count: int) -> None:
        self._bytes += count
        if self._bytes - self._said >= 5_000_000:
            self._said = self._bytes
            self._say(f"Apache Kafka {VERSION}: {self._bytes / 1e6:.0f} of about {MEGABYTES} MB")
