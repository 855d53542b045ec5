"""Requests that cannot be read, as problems."""

from collections.abc import Awaitable
from typing import TypeVar

from starlette.responses import Response

from services.carepatron_writer.platforms.carepatron.sandbox.parsing import TooLarge, Unreadable, WrongKind
from services.carepatron_writer.platforms.carepatron.sandbox.problems import problem

Read = TypeVar("Read")


async def read_or_refuse(reading: Awaitable[Read], wanted: str = "application/json") -> Read | Response:
    """What was read, or the answer that says why not."""
    try:
        return await reading
    except TooLarge:
        return problem("payload-too-large")
    except WrongKind:
        return problem("unsupported-media-type", errors=[("/Content-Type", f"must be {wanted}, not encoded")])
    except Unreadable:
        return problem("invalid-request")
