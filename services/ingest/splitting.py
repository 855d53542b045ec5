"""Runs the core beside the event loop when the bytes are many: in one process that is ended when it takes too long."""

import asyncio
import multiprocessing
import signal
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from services.ingest.core import Part, take_in
from shared.canonical.reading import ProviderProfile
from shared.logs import defect_of, get_logger
from shared.outcomes import Reason, Rejected

logger = get_logger(__name__)


class Splitter(Protocol):
    """From bytes to parts without holding up the event loop."""

    async def split(
        self, content: bytes, *, provider: ProviderProfile, media_type: str | None, patient_key: str | None
    ) -> list[Part] | Rejected: ...


class ProcessSplitter:
    """Small content is split on the spot, large content in a process of its own, one at a time.

    Content that takes longer than `split_seconds` or ends the process is refused; the next one gets a new process.
    """

    def __init__(self, *, heavy_bytes: int, split_seconds: float, max_parts: int) -> None:
        self._heavy_bytes = heavy_bytes
        self._split_seconds = split_seconds
        self._max_parts = max_parts
        self._turn = asyncio.Lock()
        self._worker: tuple[BaseProcess, Connection] | None = None

    async def split(
        self, content: bytes, *, provider: ProviderProfile, media_type: str | None, patient_key: str | None
    ) -> list[Part] | Rejected:
        """The parts, or why there are none. Never holds the event loop for long and never hangs."""
        named: dict[str, Any] = {
            "provider": provider,
            "media_type": media_type,
            "patient_key": patient_key,
            "max_parts": self._max_parts,
        }
        if len(content) <= self._heavy_bytes:
            return take_in(content, **named)
        async with self._turn:
            return await asyncio.to_thread(self._ask, content, named)

    async def aclose(self) -> None:
        """End the process."""
        await asyncio.to_thread(self._end)

    def _ask(self, content: bytes, named: dict[str, Any]) -> list[Part] | Rejected:
        if self._worker is None or not self._worker[0].is_alive():
            self._worker = _start()
        _, pipe = self._worker
        try:
            pipe.send((content, named))
            if not pipe.poll(self._split_seconds):
                raise TimeoutError
            answer: list[Part] | Rejected | str = pipe.recv()
        except (EOFError, OSError) as error:  # the process was too slow (TimeoutError is an OSError) or ended under the content
            self._end()
            logger.warning("splitting_given_up", size=len(content), why=type(error).__name__)
            return Rejected(Reason.PARSE_TIMEOUT)
        if isinstance(answer, str):
            logger.error("splitting_failed", size=len(content), defect=answer)
            raise RuntimeError("the splitting process met a defect")
        return answer

    def _end(self) -> None:
        if self._worker is not None:
            process, pipe = self._worker
            self._worker = None
            process.kill()
            process.join()
            pipe.close()


def _start() -> tuple[BaseProcess, Connection]:
    """A fresh process, not a fork: the service has threads and open connections."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), name="ingest-splitter", daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _serve(pipe: Connection) -> None:
    """Answer with parts, a refusal, or the name of a defect, until the service goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which ends this process itself
    while True:
        try:
            content, named = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(take_in(content, **named))
        except Exception as error:  # the error's text may quote the content: only its type and place leave
            pipe.send(defect_of(error))
