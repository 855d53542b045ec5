"""`healthcare-records losses`: how much of what each provider sends is read, and what is missed most."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared.postgres import guarded, load_queries, open_pool

SQL = load_queries("services.audit", "reading.sql")
MAX_PATHS = 20


async def read_losses(database_url: str, provider: str | None) -> dict[str, Any]:
    """`providers`: counts by provider, format and mapping version; `paths`: what is missed most. Raises Unavailable."""
    pool = await open_pool(database_url, application_name="healthcare-records-losses", max_size=1)
    try:
        async with guarded():
            providers = await pool.fetch(SQL["select_losses"], provider)
            paths = await pool.fetch(SQL["select_unmapped_paths"], provider, MAX_PATHS)
    finally:
        await pool.close()
    return {
        "providers": [
            {
                **row,
                "score": float(row["score"]),
                "mapped": int(row["mapped"]),
                "left_out": int(row["left_out"]),
                "unmapped": int(row["unmapped"]),
            }
            for row in map(dict, providers)
        ],
        "paths": [{**row, "elements": int(row["elements"])} for row in map(dict, paths)],
    }


def show_losses(found: dict[str, Any], console: Console) -> None:
    """A row for each provider, format and mapping version, then the paths."""
    if not found["providers"]:
        console.print("nothing was read yet")
        return
    table = Table("provider", "format", "mapping", box=None, pad_edge=False)
    for name in ("messages", "mapped", "left out", "not mapped", "score"):
        table.add_column(name, justify="right")
    for one in found["providers"]:
        counts = (f"{one[name]:,}" for name in ("messages", "mapped", "left_out", "unmapped"))
        table.add_row(Text(one["provider"]), one["format"], one["mapping_version"], *counts, f"{one['score']:.1%}")
    console.print(table, "")
    if found["paths"]:
        console.print("not mapped most often", highlight=False)
    for one in found["paths"]:
        line = f"  {one['elements']:>7,}  in {one['messages']:,} messages  {one['provider']}  {one['path']}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
