"""Reading in a process of its own: a document that hangs, crashes or eats memory takes that process with it, not the service.

Frames on the pipes are a four-byte length and a pickle; both ends are ours.
"""

import asyncio
import pickle
import resource
import struct
import sys
from contextlib import suppress

from services.normalizer.reading import read_content
from shared.canonical.reading import Format, ProviderProfile, Reading, rejected
from shared.logs import defect_of, get_logger
from shared.outcomes import Reason

LENGTH = struct.Struct(">I")
HEAVY = frozenset({"pdf", "image"})  # read by C libraries
IDLE_SECONDS = 60.0
log = get_logger(__name__)


class GuardedReader:
    """Reads small text inline, everything large or binary in a process that may be killed."""

    def __init__(self, *, inline_bytes: int, read_seconds: float, read_memory_bytes: int) -> None:
        self._inline_bytes = inline_bytes
        self._read_seconds = read_seconds
        self._memory = read_memory_bytes
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None

    async def read(self, content: bytes, provider: ProviderProfile, format: Format | None, media_type: str | None) -> Reading:
        """Read one message or document. A reader that takes too long or breaks gives `parse_timeout`."""
        if len(content) <= self._inline_bytes and format not in HEAVY:
            return read_content(content, provider, format=format, media_type=media_type)
        async with self._turn:
            try:
                return await asyncio.wait_for(self._ask(pickle.dumps((content, provider, format, media_type))), self._read_seconds)
            except (TimeoutError, OSError, EOFError, asyncio.IncompleteReadError) as error:
                log.warning("reading_process_stopped", size=len(content), format=format, exc_type=type(error).__name__)
                await self.stop()
                return rejected(format or "unknown", Reason.PARSE_TIMEOUT)

    async def stop(self) -> None:
        """End the process, if there is one."""
        if self._idle:
            self._idle.cancel()
            self._idle = None
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _ask(self, request: bytes) -> Reading:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", __name__, str(self._memory), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
        pipes = self._process
        assert pipes.stdin is not None  # asked for above
        assert pipes.stdout is not None
        pipes.stdin.write(LENGTH.pack(len(request)) + request)
        await pipes.stdin.drain()
        (length,) = LENGTH.unpack(await pipes.stdout.readexactly(LENGTH.size))
        answer = pickle.loads(await pipes.stdout.readexactly(length))  # noqa: S301  # our own process wrote it
        if self._idle:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._end_idle)
        if isinstance(answer, str):
            raise ReaderDefect(answer)
        assert isinstance(answer, Reading)  # the only other thing that it sends
        return answer

    def _end_idle(self) -> None:
        """Let go of a process that nobody needs; the next heavy document starts another."""
        if self._process is not None and not self._turn.locked() and self._process.returncode is None:
            self._process.kill()


class ReaderDefect(Exception):
    """A defect of ours in the reading process; its text is the error's type and place."""


def main() -> None:
    """Answer requests until the pipe closes."""
    memory = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    while len(head := sys.stdin.buffer.read(LENGTH.size)) == LENGTH.size:
        content, provider, format, media_type = pickle.loads(sys.stdin.buffer.read(*LENGTH.unpack(head)))  # noqa: S301  # the service wrote it
        try:
            answer: Reading | str = read_content(content, provider, format=format, media_type=media_type)
        except MemoryError:
            sys.exit(1)
        except Exception as error:
            answer = defect_of(error)
        frame = pickle.dumps(answer)
        sys.stdout.buffer.write(LENGTH.pack(len(frame)) + frame)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
