"""Push subscriptions: the devices of payers."""

from alembic import op

revision = "0002"
down_revision = "0001"

_UP = (
    # `address` is sealed, `fingerprint` its keyed hash: a device belongs to one payer of a client at a time.
    """
    CREATE TABLE push_subscriptions (
        id text PRIMARY KEY,
        client_id text NOT NULL,
        psu text NOT NULL,
        kind text NOT NULL,
        address text NOT NULL,
        fingerprint text NOT NULL UNIQUE,
        registered_at timestamptz NOT NULL,
        used_at timestamptz
    ) WITH (fillfactor = 80)
    """,
    "CREATE INDEX push_subscriptions_psu ON push_subscriptions (psu, registered_at DESC, id DESC)",
)


def upgrade() -> None:
    """Create the table."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop the table; every payer has to register anew."""
    op.execute("DROP TABLE push_subscriptions")
