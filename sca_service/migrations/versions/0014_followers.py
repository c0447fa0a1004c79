"""Followers of the log: which index each reads next."""

from alembic import op

revision = "0014"
down_revision = "0010"

_UP = (
    # Updated for every portion: the row stays on its page (HOT).
    """
    CREATE TABLE followers (
        name text PRIMARY KEY,
        next_index bigint NOT NULL,
        moved_at timestamptz NOT NULL DEFAULT now()
    ) WITH (fillfactor = 50)
    """,
)

_TABLES = ("followers",)


def upgrade() -> None:
    """Create the tables."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables; followers begin anew."""
    for table in _TABLES:
        op.execute(f"DROP TABLE {table}")
