"""What the pumping guard leaves alone: an operator's word, which must outlive Redis."""

from alembic import op

revision = "0010"
down_revision = "0009"

_UP = (
    # `subject` is a prefix, a country or a client as it is, or the pseudonym of an address.
    """
    CREATE TABLE pumping_allowances (
        id text PRIMARY KEY,
        scope text NOT NULL,
        subject text NOT NULL,
        why text NOT NULL,
        since timestamptz NOT NULL,
        until timestamptz NOT NULL,
        UNIQUE (scope, subject)
    )
    """,
)


def upgrade() -> None:
    """Create the table."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop the table; Redis still holds what was allowed."""
    op.execute("DROP TABLE pumping_allowances")
