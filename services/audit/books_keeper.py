"""Keeps the latest state of the books for the dashboard: checked in the background, never while a page waits."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from services.audit.bookkeeping import Books
from shared.errors import Unavailable
from shared.logs import get_logger

REST_FACTOR = 20  # a check that takes long is repeated less often
log = get_logger(__name__)


class BooksKeeper:
    """`latest` is None until the first check has succeeded."""

    def __init__(self, check: Callable[[], Awaitable[Books]], *, interval_seconds: float) -> None:
        self._check = check
        self._interval = interval_seconds
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self.latest: Books | None = None

    async def start(self) -> None:
        """Begin to check."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop checking."""
        self._stopping.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def check(self) -> float:
        """Check once; gives back the seconds to rest before the next time. An outage keeps what was known."""
        began = time.monotonic()
        try:
            self.latest = await self._check()
        except Unavailable as error:
            log.warning("books_not_checked", target=error.target, why=error.why)
        except Exception:  # a defect of ours; the page goes on showing the last state with its time
            log.error("books_check_failed", exc_info=True)
        else:
            if not self.latest.books_balanced:
                log.error("books_open", count=self.latest.missing_count, in_flight=self.latest.in_flight)
        return max(self._interval, REST_FACTOR * (time.monotonic() - began))

    async def _run(self) -> None:
        while not self._stopping.is_set():
            rest = await self.check()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._stopping.wait()
