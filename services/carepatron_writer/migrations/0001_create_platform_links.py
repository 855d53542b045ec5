"""Create platform links."""

from shared.postgres.migrations import run_sql

revision = "carepatron_writer_0001"
down_revision = None
branch_labels = ("carepatron_writer",)
depends_on = None


def upgrade() -> None:
    """Run the SQL beside this file."""
    run_sql()
