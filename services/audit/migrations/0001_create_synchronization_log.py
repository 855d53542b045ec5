"""Create synchronization log."""

from shared.postgres.migrations import run_sql

revision = "audit_0001"
down_revision = None
branch_labels = ("audit",)
depends_on = None


def upgrade() -> None:
    """Run the SQL beside this file."""
    run_sql()
