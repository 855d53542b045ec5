"""PostgreSQL: pools, outages as values, named queries, migrations."""

from shared.postgres.pool import guarded, open_pool
from shared.postgres.queries import load_queries

__all__ = ["guarded", "load_queries", "open_pool"]
