"""Work on hostile bytes in a process of its own: what hangs, crashes or eats memory takes that process with it, not the service.

Frames on the pipes are a four-byte length and a pickle; both ends are ours.
"""

import asyncio
import os
import pickle
import resource
import signal
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, Generic, TypeVar

from shared.logs import defect_of

R = TypeVar("R")
LENGTH = struct.Struct(">I")
IDLE_SECONDS = 60.0
NEEDED = ("PATH", "PYTHONPATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ")  # of the environment: keys and addresses stay with the service


class Stopped(Exception):
    """The work took too long, or ended the process that did it."""


class Defect(Exception):
    """A defect of ours in the process; the text is the error's type and place."""


class Isolated(Generic[R]):
    """A function of one module, called in a process that is started when needed, one call at a time, and ended when idle."""

    def __init__(self, function: Callable[..., R], *, seconds: float, memory_bytes: int = 2 << 30) -> None:
        self._target = f"{function.__module__}:{function.__qualname__}"
        self._seconds = seconds
        self._memory = memory_bytes
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._idle: asyncio.TimerHandle | None = None

    async def __call__(self, *args: Any) -> R:
        """Call it. Raises Stopped at the deadline or when the process ends under the work, Defect for an exception inside."""
        request = pickle.dumps(args)
        async with self._turn:
            if self._idle:
                self._idle.cancel()
            try:
                answer = await asyncio.wait_for(self._ask(request), self._seconds)
            except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
                await self._end()
                raise Stopped(type(error).__name__) from error
            except asyncio.CancelledError:  # half a frame may be on the pipe
                await self._end()
                raise
            self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._let_go)
        if isinstance(answer, _Raised):
            raise Defect(answer.defect)
        return answer  # type: ignore[no-any-return]  # what the function returned

    async def aclose(self) -> None:
        """End the process, if there is one."""
        async with self._turn:
            await self._end()

    async def _ask(self, request: bytes) -> Any:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                __name__,
                self._target,
                str(self._memory),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={name: os.environ[name] for name in NEEDED if name in os.environ},
            )
        to, back = self._process.stdin, self._process.stdout
        assert to is not None  # asked for above
        assert back is not None
        to.write(LENGTH.pack(len(request)) + request)
        await to.drain()
        (length,) = LENGTH.unpack(await back.readexactly(LENGTH.size))
        return pickle.loads(await back.readexactly(length))  # noqa: S301  # our own process wrote it

    async def _end(self) -> None:
        if self._idle:
            self._idle.cancel()
            self._idle = None
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _let_go(self) -> None:
        """Nobody needed it for a while; the next call starts another."""
        if self._process is not None and not self._turn.locked() and self._process.returncode is None:
            self._process.kill()


class _Raised:
    """What travels back in place of an exception: its text may quote content."""

    def __init__(self, defect: str) -> None:
        self.defect = defect


def main() -> None:
    """Answer calls until the pipe closes; a lack of memory ends the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which closes the pipe
    module, _, name = sys.argv[1].partition(":")
    function = getattr(import_module(module), name)
    memory = int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    answers = sys.stdout.buffer
    sys.stdout = sys.stderr  # a stray print must not break the frames
    while len(head := sys.stdin.buffer.read(LENGTH.size)) == LENGTH.size:
        args = pickle.loads(sys.stdin.buffer.read(*LENGTH.unpack(head)))  # noqa: S301  # the service wrote it
        try:
            answer = function(*args)
        except MemoryError:
            sys.exit(1)
        except Exception as error:
            answer = _RAISED(defect_of(error))
        frame = pickle.dumps(answer)
        answers.write(LENGTH.pack(len(frame)) + frame)
        answers.flush()


if __name__ == "__main__":
    from shared.isolation import _Raised as _RAISED  # pickled under the module's name, not under __main__

    main()
