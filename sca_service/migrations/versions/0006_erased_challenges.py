"""Erased challenges: marked, so that no commit that was under way brings back what was personal."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the mark; what is there has none."""
    op.execute("ALTER TABLE challenges ADD COLUMN erased boolean NOT NULL DEFAULT false")


def downgrade() -> None:
    """Drop the mark; the challenges stay as they were bared."""
    op.execute("ALTER TABLE challenges DROP COLUMN erased")
