"""Migrations: from nothing to the newest schema, twice without harm, and services that refuse a schema they do not know."""

import asyncio

import pytest
from alembic.script import ScriptDirectory

from shared.errors import Misconfigured
from shared.postgres import open_pool
from shared.postgres.migrations import BRANCHES, alembic_config, check_schema, known_heads, migrate


async def check(url: str, branch: str, *statements: str) -> None:
    pool = await open_pool(url, application_name="test")
    try:
        for one in statements:
            await pool.execute(one)
        await check_schema(pool, branch)
    finally:
        await pool.close()


def test_every_branch_is_applied_once_and_a_second_run_changes_nothing(database_url: str) -> None:
    heads = migrate(database_url)

    assert heads == migrate(database_url) == sorted(known_heads().values())
    for branch in BRANCHES:
        asyncio.run(check(database_url, branch))


def test_the_heads_known_by_name_are_those_that_alembic_knows() -> None:
    assert sorted(known_heads().values()) == sorted(ScriptDirectory.from_config(alembic_config()).get_heads())


def test_a_service_refuses_a_database_without_schema(database_url: str) -> None:
    with pytest.raises(Misconfigured, match="healthcare-records migrate"):
        asyncio.run(check(database_url, "normalizer"))


def test_a_service_refuses_a_newer_schema(migrated_url: str) -> None:
    with pytest.raises(Misconfigured, match="newer version"):
        asyncio.run(check(migrated_url, "audit", "UPDATE schema_versions SET version_num = 'audit_9999' WHERE version_num LIKE 'audit_%'"))
