"""Alembic with SQL inside: every service keeps its own branch of numbered SQL files; one table says what is applied.

A revision is two files beside each other: `0001_create_links.sql` with the statements and `0001_create_links.py` with the revision ids.
"""

import inspect
import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from shared.errors import Misconfigured
from shared.postgres.pool import guarded

if TYPE_CHECKING:  # services only compare names: they need not load Alembic and SQLAlchemy
    from alembic.config import Config

BRANCHES = ("ingest", "normalizer", "carepatron_writer", "audit")
VERSION_TABLE = "schema_versions"
REVISION = re.compile(r"(\d{4})_\w+\.py")


def alembic_config(database_url: str = "") -> "Config":
    """Alembic's configuration, made in code: no ini file to lose."""
    from alembic.config import Config

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
    from alembic import command

    command.upgrade(alembic_config(database_url), "heads")
    return sorted(known_heads().values())


def known_heads() -> dict[str, str]:
    """The newest revision that this code knows, by branch: the highest number among a service's migrations."""
    heads: dict[str, str] = {}
    for branch in BRANCHES:
        names = (one.name for one in files(f"services.{branch}").joinpath("migrations").iterdir())
        numbers = [match[1] for name in names if (match := REVISION.fullmatch(name))]
        heads[branch] = f"{branch}_{max(numbers)}"
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
