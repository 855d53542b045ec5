"""Add sight."""

from shared.postgres.migrations import run_sql

revision = "normalizer_0002"
down_revision = "normalizer_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL beside this file."""
    run_sql()
