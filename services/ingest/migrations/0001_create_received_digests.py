"""Create received digests."""

from shared.postgres.migrations import run_sql

revision = "ingest_0001"
down_revision = None
branch_labels = ("ingest",)
depends_on = None


def upgrade() -> None:
    """Run the SQL beside this file."""
    run_sql()
