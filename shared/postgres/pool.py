"""Connection pools, and the translation of asyncpg's and the network's errors into an outage."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import orjson

from shared.errors import Unavailable

TARGET = "postgres"

# What passes when the database is back or less busy; everything else is a defect of ours and is not caught here.
OUTAGES: tuple[type[BaseException], ...] = (
    OSError,  # refused, reset, unreachable, name not found
    asyncio.TimeoutError,
    asyncpg.InterfaceError,  # connection or pool closed under us
    asyncpg.PostgresConnectionError,  # class 08
    asyncpg.CannotConnectNowError,  # starting up or shutting down
    asyncpg.OperatorInterventionError,  # class 57: admin shutdown, crash shutdown, query cancelled
    asyncpg.InsufficientResourcesError,  # class 53: disk full, out of memory, too many connections
    asyncpg.TransactionRollbackError,  # class 40: deadlock, serialization failure
    asyncpg.LockNotAvailableError,  # 55P03
    asyncpg.PostgresIOError,  # class 58
    asyncpg.ReadOnlySQLTransactionError,  # 25006: a standby after a failover
)


async def _set_up(connection: Any) -> None:
    """JSON columns travel as bytes of orjson."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + orjson.dumps(value),
        decoder=lambda raw: orjson.loads(raw[1:]),
        format="binary",
    )


async def _leave_as_it_is(_: Any) -> None:
    """Nobody here changes a session, so nothing has to be put back when a connection is returned; that saves a round trip each time."""


async def open_pool(url: str, *, application_name: str, min_size: int = 1, max_size: int = 8, command_timeout: float = 20.0) -> Any:
    """A pool that is connected. Raises Unavailable when the database is away; the URL never stands in the error."""
    async with guarded():
        return await asyncpg.create_pool(
            url,
            min_size=min_size,
            max_size=max_size,
            command_timeout=command_timeout,
            timeout=10,
            init=_set_up,
            reset=_leave_as_it_is,
            server_settings={"application_name": application_name, "timezone": "UTC"},
        )


@asynccontextmanager
async def guarded(target: str = TARGET) -> AsyncIterator[None]:
    """Raise Unavailable for every passing error of the database (`OUTAGES`); others leave unchanged."""
    try:
        yield
    except OUTAGES as error:
        raise Unavailable(target, type(error).__name__, is_target_down=not isinstance(error, asyncpg.TransactionRollbackError)) from error
