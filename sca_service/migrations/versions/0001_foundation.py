"""Clients, audit events and their order, acceptances, challenges."""

from alembic import op

revision = "0001"
down_revision = None

_UP = (
    """
    CREATE TABLE clients (
        id text PRIMARY KEY,
        scopes text[] NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        revoked_at timestamptz
    )
    """,
    """
    CREATE TABLE api_keys (
        hash bytea PRIMARY KEY,
        client_id text NOT NULL REFERENCES clients (id),
        created_at timestamptz NOT NULL DEFAULT now(),
        ends_at timestamptz
    )
    """,
    # txid and position give the order in which events can be sequenced without a gap (audit/log/sequencer.py).
    """
    CREATE TABLE audit_events (
        id text PRIMARY KEY,
        txid xid8 NOT NULL DEFAULT pg_current_xact_id(),
        position bigint GENERATED ALWAYS AS IDENTITY,
        at timestamptz NOT NULL,
        type text NOT NULL,
        client_id text,
        psu text,
        challenge_id text,
        body text NOT NULL
    )
    """,
    "CREATE INDEX audit_events_order ON audit_events (txid, position)",
    "CREATE INDEX audit_events_challenge ON audit_events (challenge_id)",
    "CREATE INDEX audit_events_psu ON audit_events (psu)",
    "CREATE TABLE audit_leaves (index bigint PRIMARY KEY, event_id text NOT NULL UNIQUE REFERENCES audit_events (id))",
    """
    CREATE TABLE acceptances (
        challenge_id text PRIMARY KEY,
        event_id text NOT NULL,
        at timestamptz NOT NULL DEFAULT now()
    )
    """,
    # Updates of status stay on the page (HOT): no index has status, state or revision in it.
    """
    CREATE TABLE challenges (
        id text PRIMARY KEY,
        client_id text NOT NULL,
        psu text NOT NULL,
        purpose text NOT NULL,
        status text NOT NULL,
        created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        revision integer NOT NULL,
        state bytea NOT NULL
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX challenges_newest ON challenges (client_id, created_at DESC, id DESC)",
    "CREATE INDEX challenges_psu ON challenges (psu, created_at DESC)",
)

_DOWN = ("challenges", "acceptances", "audit_leaves", "audit_events", "api_keys", "clients")


def upgrade() -> None:
    """Create the tables."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables; every record is lost."""
    for table in _DOWN:
        op.execute(f"DROP TABLE {table}")
