"""Alembic with SQL inside: every service keeps its own branch of numbered SQL files; one table says what is applied.

A revision is two files beside each other: `0001_create_links.sql` with the statements and `0001_create_links.py` with the revision ids.
"""

import inspect
from importlib.resources import files
from pathlib import Path
from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from shared.errors import Misconfigured
from shared.postgres.pool import guarded

BRANCHES = ("ingest", "normalizer", "carepatron_writer", "audit")
VERSION_TABLE = "schema_versions"


def alembic_config(database_url: str = "") -> Config:
    """Alembic's configuration, made in code: no ini file to lose."""
    here = files("shared.postgres").joinpath("alembic")
    config = Config()
    config.set_main_option("script_location", str(here))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(str(files(f"services.{one}").joinpath("migrations")) for one in BRANCHES))
    config.attributes["database_url"] = database_url
    return config


def run_sql() -> None:
    """Run the SQL file beside the calling revision, inside Alembic's transaction."""
    from alembic import op
    from sqlalchemy.util import await_only

    caller = inspect.stack()[1].filename
    driver: Any = op.get_bind().connection.driver_connection
    await_only(driver.execute(Path(caller).with_suffix(".sql").read_text("utf-8")))


def migrate(database_url: str) -> list[str]:
    """Bring the schema up to date; returns the heads. Safe to repeat and to run twice at once (advisory lock)."""
    config = alembic_config(database_url)
    command.upgrade(config, "heads")
    return sorted(known_heads(config).values())


def known_heads(config: Config | None = None) -> dict[str, str]:
    """The newest revision that this code knows, by branch."""
    script = ScriptDirectory.from_config(config or alembic_config())
    heads: dict[str, str] = {}
    for head in script.get_heads():
        revision = script.get_revision(head)
        for label in revision.branch_labels:
            heads[label] = head
    return heads


async def check_schema(pool: Any, branch: str) -> None:
    """Refuse to start on a schema that this code does not know. Raises Misconfigured or Unavailable."""
    expected = known_heads()[branch]
    async with guarded():
        try:
            rows = await pool.fetch(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608  # a constant
        except asyncpg.UndefinedTableError:
            rows = []
    found = sorted(row["version_num"] for row in rows if row["version_num"].startswith(f"{branch}_"))
    if found != [expected]:
        raise Misconfigured(
            f"the database schema of {branch} is {', '.join(found) or 'absent'}, this version needs {expected}: "
            "run `healthcare-records migrate`" + (" with the newer version" if found and found[-1] > expected else "")
        )
