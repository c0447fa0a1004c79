"""Opt-outs: numbers that want no alerts."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table."""
    # `phone` is the pseudonym of a number; an empty client stands for all of them.
    op.execute(
        """
        CREATE TABLE opt_outs (
            phone text NOT NULL,
            client_id text NOT NULL,
            kind text NOT NULL,
            at timestamptz NOT NULL,
            lifted_at timestamptz,
            PRIMARY KEY (phone, client_id)
        )
        """
    )


def downgrade() -> None:
    """Drop the table; nobody's STOP is known any more."""
    op.execute("DROP TABLE opt_outs")
