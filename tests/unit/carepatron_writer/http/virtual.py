"""Time for tests of limits: an event loop whose clock jumps to the next timer, and a wall clock in a zone other than UTC.

Nothing sleeps. A loop with nothing to do and nobody to wake it raises: somebody waits for ever.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

from services.carepatron_writer.platforms.http import Limits
from services.carepatron_writer.platforms.profile import Evidence, Operation, Profile, Window
from tests.contract.writing_fakes import a_profile

ZONE = timezone(timedelta(hours=5, minutes=45), "Kathmandu")
BEGIN = datetime(2026, 11, 2, 23, 59, 48, tzinfo=ZONE).timestamp()  # just before midnight there, 18:14:48 UTC
MONOTONIC = 86.5  # where the monotonic clock stands then: the two have nothing to do with each other

T = TypeVar("T")


class WaitsForEver(AssertionError):
    """Tasks are left and no timer will wake any of them."""


class _Jumping(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = MONOTONIC

    def select(self, timeout: float | None = None) -> Any:
        """What is ready; where nothing is, the time of the next timer has come."""
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise WaitsForEver
            self.now += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when nothing else can happen."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Seconds, monotonic."""
        return self._jumping.now


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine in virtual time. Raises WaitsForEver."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def now() -> float:
    """Monotonic seconds of the running loop."""
    return asyncio.get_running_loop().time()


def wall() -> float:
    """UNIX time, which passes with the loop's."""
    return BEGIN + now() - MONOTONIC


def a_window(requests: int, seconds: float, **said: Any) -> Window:
    """A window of the key, rolling, for all operations."""
    return Window.model_validate({"name": "w", "requests": requests, "seconds": seconds, "evidence": Evidence.MODELLED, **said})


def an_account(*windows: Window, in_flight: int = 32, live_reserve: float = 0.1) -> Profile:
    """A profile with these windows and three operations: `read`, `write`, `other`."""
    operation = Operation.model_validate({"method": "PUT", "path": "/x", "effects": ("write_document",), "evidence": Evidence.MODELLED})
    return a_profile(requests={"in_flight": in_flight, "live_reserve": live_reserve}).model_copy(
        update={"windows": windows, "operations": dict.fromkeys(("read", "write", "other"), operation)}
    )


def limits_of(*windows: Window, in_flight: int = 32, live_reserve: float = 0.1) -> Limits:
    """Limits that live in virtual time."""
    return Limits("clinic", an_account(*windows, in_flight=in_flight, live_reserve=live_reserve), clock=now, wall=wall)
