"""An index that tells where in the order of the log an hour's events end."""

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Create the index, unless an operator did so before without stopping the writers (docs/operations.md)."""
    op.execute(
        "CREATE INDEX IF NOT EXISTS audit_events_hour ON audit_events"
        " (date_trunc('hour', at AT TIME ZONE 'UTC'), txid, position) INCLUDE (at)"
    )


def downgrade() -> None:
    """Drop the index: a list of a past hour takes as long as it is past."""
    op.execute("DROP INDEX audit_events_hour")
