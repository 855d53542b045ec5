"""Alembic's environment: one connection through asyncpg, one transaction, one lock."""

import asyncio
from typing import Any

from alembic import context
from sqlalchemy import pool, text
from sqlalchemy.ext.asyncio import create_async_engine

from shared.postgres.migrations import VERSION_TABLE

LOCK = 724_150_311  # any constant: two migrations at once wait for each other


def run(connection: Any) -> None:
    """Run the migrations on a connection."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    context.configure(connection=connection, version_table=VERSION_TABLE, transaction_per_migration=False)
    with context.begin_transaction():
        context.run_migrations()


async def main() -> None:
    """Connect and run."""
    url = context.config.attributes["database_url"].replace("postgresql://", "postgresql+asyncpg://", 1)
    engine = create_async_engine(url, poolclass=pool.NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()


asyncio.run(main())
