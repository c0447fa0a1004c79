"""Alerts: messages without a code, each durable before it is sent."""

from alembic import op

revision = "0009"
down_revision = "0008"

_UP = (
    # `dedupe` is the pseudonym of the client's key; `deliveries` is JSON. `due_at` is when a worker takes it up, or
    # until when one has leased it; there is none while nothing is to be done.
    """
    CREATE TABLE alerts (
        id text PRIMARY KEY,
        client_id text NOT NULL,
        psu text NOT NULL,
        kind text NOT NULL,
        dedupe text NOT NULL,
        sealed text NOT NULL,
        channels text[] NOT NULL,
        status text NOT NULL CHECK (status IN ('queued', 'sent', 'delivered', 'failed', 'suppressed')),
        reason text NOT NULL DEFAULT '',
        deliveries text NOT NULL DEFAULT '[]',
        created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        due_at timestamptz,
        disowned_at timestamptz
    )
    """,
    "CREATE UNIQUE INDEX alerts_dedupe ON alerts (client_id, dedupe) WHERE reason <> 'duplicate'",
    "CREATE INDEX alerts_due ON alerts (due_at) WHERE due_at IS NOT NULL",
    "CREATE INDEX alerts_psu ON alerts (psu)",
)


def upgrade() -> None:
    """Create the table."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop the table; what was queued is never sent."""
    op.execute("DROP TABLE alerts")
