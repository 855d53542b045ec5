"""Create registry."""

from shared.postgres.migrations import run_sql

revision = "normalizer_0001"
down_revision = None
branch_labels = ("normalizer",)
depends_on = None


def upgrade() -> None:
    """Run the SQL beside this file."""
    run_sql()
