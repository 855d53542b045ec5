"""Add reviews."""

from shared.postgres.migrations import run_sql

revision = "carepatron_writer_0002"
down_revision = "carepatron_writer_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL beside this file."""
    run_sql()
