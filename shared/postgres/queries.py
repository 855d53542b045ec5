"""SQL stays SQL: a service's `queries.sql` holds its statements, each under `-- name: verb_noun` and a sentence."""

from functools import cache
from importlib.resources import files

MARK = "-- name:"


@cache
def load_queries(package: str, file: str = "queries.sql") -> dict[str, str]:
    """The named statements of a package's file; raises ValueError for a name given twice or a file without any."""
    found: dict[str, str] = {}
    for block in files(package).joinpath(file).read_text("utf-8").split(MARK)[1:]:
        head, _, body = block.partition("\n")
        name = head.strip()
        if name in found:
            raise ValueError(f"query {name} stands twice in {package}/{file}")
        found[name] = body.strip().rstrip(";")
    if not found:
        raise ValueError(f"no named query in {package}/{file}")
    return found
