"""Starts parts as soon as what they need is ready, keeps them running, stops them in reverse order."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from deploy.local.home import disk_sentence, free_mebibytes
from deploy.local.processes import Server, last_words
from shared.errors import Misconfigured

READY_SECONDS = 120.0  # for the first start of a part
PAUSE_SECONDS = (0.5, 30.0)  # before a restart: the first, doubling to the last
STEADY_SECONDS = 60.0  # after which a part has earned a short pause again
POLL_SECONDS = 0.1
LOOK_SECONDS = 2.0  # between looks at readiness and at the disk
WARN_MEBIBYTES, STOP_MEBIBYTES = 200, 50


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the system: what it needs before it starts, and where it can be reached."""

    server: Server
    name: str
    address: str = ""
    after: tuple[str, ...] = ()
    is_errand: bool = False  # runs once, to its end


class Screen(Protocol):
    """Where the state of the parts is shown."""

    def show(self, name: str, state: str, note: str = "") -> None: ...

    def say(self, text: str) -> None: ...


class Supervisor:
    """The parts of a system, in the order in which they are listed."""

    def __init__(self, parts: Sequence[Part], screen: Screen, home: Path, *, pauses: tuple[float, float] = PAUSE_SECONDS) -> None:
        self._parts = parts
        self._screen = screen
        self._home = home
        self._pauses = pauses
        self._threads: set[asyncio.Future[Any]] = set()
        self._restarts: dict[str, asyncio.Task[None]] = {}
        self._is_ready: dict[str, bool] = {}

    async def start(self) -> None:
        """Start every part and wait until all are ready. Raises Misconfigured with the first sentence; `stop` is still to be called."""
        tasks: dict[str, asyncio.Task[None]] = {}
        try:
            async with asyncio.TaskGroup() as group:
                for part in self._parts:
                    needs = [tasks[one] for one in part.after if one in tasks]
                    tasks[part.name] = group.create_task(self._bring_up(part, needs))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures

    async def watch(self) -> None:
        """Restart what ends, show what is not ready. Ends only by raising Misconfigured, when the disk is full."""
        has_warned = False
        looked = 0.0
        while True:
            servers = [one for one in self._parts if not one.is_errand]
            for part in servers:
                if part.server.returncode is not None and part.name not in self._restarts:
                    task = asyncio.create_task(self._restart(part))
                    self._restarts[part.name] = task
                    task.add_done_callback(partial(self._restarted, part.name))
            if time.monotonic() - looked > LOOK_SECONDS:
                await asyncio.gather(*(self._look(one) for one in servers if one.name not in self._restarts))
                free = free_mebibytes(self._home)
                if free < STOP_MEBIBYTES:
                    raise Misconfigured(disk_sentence(self._home))
                if free < WARN_MEBIBYTES and not has_warned:
                    self._screen.say(f"the disk of {self._home} is nearly full: {free} MiB left, everything stops at {STOP_MEBIBYTES}")
                has_warned = free < WARN_MEBIBYTES
                looked = time.monotonic()
            await asyncio.sleep(POLL_SECONDS)

    async def stop(self) -> bool:
        """Stop every part, the last one first; False when a start is still hanging in the network and is left alone."""
        for task in list(self._restarts.values()):
            task.cancel()
        hanging: set[asyncio.Future[Any]] = set()
        if self._threads:
            hanging = (await asyncio.wait(self._threads, timeout=5))[1]
        for part in reversed(self._parts):
            if part.is_errand and part.server.returncode is not None:
                continue
            if part.server.child is not None:
                self._screen.show(part.name, "stopping")
                await self._in_thread(part.server.stop)
                self._screen.show(part.name, "stopped")
        return not hanging

    async def _bring_up(self, part: Part, needs: Sequence[asyncio.Task[None]]) -> None:
        """The first start: it succeeds or it is told why not."""
        await asyncio.gather(*needs)
        began = time.monotonic()
        self._screen.show(part.name, "starting")
        try:
            await self._in_thread(part.server.start)
            await self._until_ready(part, READY_SECONDS)
        except Misconfigured as error:
            self._screen.show(part.name, "failed")
            raise Misconfigured(f"{part.name} did not start: {error}") from error
        self._is_ready[part.name] = True
        self._screen.show(part.name, "done" if part.is_errand else "ready", f"{time.monotonic() - began:.1f} s")

    async def _until_ready(self, part: Part, seconds: float) -> None:
        server = part.server
        deadline = time.monotonic() + seconds
        while True:
            is_ready = await self._in_thread(server.is_ready)
            if server.returncode not in (None, 0) or (server.returncode == 0 and not part.is_errand):
                # whoever answers then, it is not this server
                raise Misconfigured(f"it ended with exit code {server.returncode}{last_words(server.log)} (log: {server.log})")
            if is_ready:
                return
            if time.monotonic() > deadline:
                raise Misconfigured(f"it was not ready within {seconds:.0f} s{last_words(server.log)} (log: {server.log})")
            await asyncio.sleep(POLL_SECONDS)

    async def _restart(self, part: Part) -> None:
        """Start a part again, with growing pauses, until it has stayed up for a while."""
        pause, longest = self._pauses
        while part.server.returncode is not None:
            self._is_ready[part.name] = False
            self._screen.show(part.name, "down", f"exit code {part.server.returncode}, again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)
            self._screen.show(part.name, "starting")
            try:
                await self._in_thread(part.server.start)
                await self._until_ready(part, READY_SECONDS)
            except (Misconfigured, OSError) as error:
                self._screen.say(f"{part.name}: {error}")
                if part.server.returncode is None:
                    return  # alive and slow: `watch` goes on looking
                continue
            self._is_ready[part.name] = True
            self._screen.show(part.name, "ready", "restarted")
            steady = time.monotonic() + STEADY_SECONDS
            while part.server.returncode is None and time.monotonic() < steady:
                await self._look(part)
                await asyncio.sleep(min(LOOK_SECONDS, self._pauses[0]))

    def _restarted(self, name: str, task: asyncio.Task[None]) -> None:
        del self._restarts[name]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._screen.say(f"{name}: restart failed ({type(error).__name__}: {error})")

    async def _look(self, part: Part) -> None:
        """Show when readiness has changed."""
        if part.server.returncode is not None:
            return
        is_ready = await self._in_thread(part.server.is_ready)
        if is_ready != self._is_ready.get(part.name, False):
            self._is_ready[part.name] = is_ready
            self._screen.show(part.name, "ready" if is_ready else "not ready")

    async def _in_thread(self, call: Callable[[], Any]) -> Any:
        """Run a blocking call; it is waited for at the end even when we are cancelled here."""
        future = asyncio.get_running_loop().run_in_executor(None, call)
        self._threads.add(future)
        future.add_done_callback(self._threads.discard)
        return await asyncio.shield(future)
