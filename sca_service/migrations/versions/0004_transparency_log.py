"""The transparency log: state, tiles, checkpoints and keys; and what is personal, under payers' keys."""

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_ROWS_AT_ONCE = 1000

_UP = (
    # The order is given anew, over leaves that are canonical now; it is the order of commits as before.
    "TRUNCATE audit_leaves",
    # Looked up twenty thousand times a second by the one process that writes both tables.
    "ALTER TABLE audit_leaves DROP CONSTRAINT audit_leaves_event_id_fkey",
    # One row: how far the log has come. Whoever extends the log holds its lock, so there is no fork.
    """
    CREATE TABLE log_state (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        size bigint NOT NULL DEFAULT 0,
        txid xid8 NOT NULL DEFAULT '0',
        position bigint NOT NULL DEFAULT 0,
        first_index bigint NOT NULL DEFAULT 0
    )
    """,
    "INSERT INTO log_state DEFAULT VALUES",
    # The widest form of each hash tile; a narrower one is its beginning.
    """
    CREATE TABLE log_tiles (
        level smallint NOT NULL,
        index bigint NOT NULL,
        hashes bytea NOT NULL,
        PRIMARY KEY (level, index)
    )
    """,
    "ALTER TABLE log_tiles ALTER COLUMN hashes SET STORAGE EXTERNAL",
    """
    CREATE TABLE log_checkpoints (
        size bigint PRIMARY KEY,
        root bytea NOT NULL,
        note text NOT NULL,
        made_at timestamptz NOT NULL DEFAULT now(),
        published_at timestamptz
    )
    """,
    "CREATE INDEX log_checkpoints_published ON log_checkpoints (size DESC) WHERE published_at IS NOT NULL",
    """
    CREATE TABLE log_keys (
        verifier_key text PRIMARY KEY,
        first_size bigint NOT NULL,
        first_used_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE TABLE log_witnesses (name text PRIMARY KEY, size bigint NOT NULL, signed_at timestamptz NOT NULL)",
    # A payer's key, wrapped by the keyring. Erasure empties `wrapped`; the row stays, so that nobody writes under it.
    """
    CREATE TABLE payer_keys (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        psu text NOT NULL,
        wrapped text,
        created_at timestamptz NOT NULL DEFAULT now(),
        destroyed_at timestamptz
    )
    """,
    "CREATE UNIQUE INDEX payer_keys_psu ON payer_keys (psu) WHERE destroyed_at IS NULL",
    """
    CREATE TABLE audit_private (
        event_id text PRIMARY KEY,
        key_id bigint NOT NULL,
        sealed bytea NOT NULL
    )
    """,
    "CREATE INDEX audit_private_key ON audit_private (key_id)",
    """
    CREATE TABLE erasures (
        id text PRIMARY KEY,
        client_id text NOT NULL,
        psu text NOT NULL,
        reason text NOT NULL,
        requested_by text NOT NULL,
        requested_at timestamptz NOT NULL DEFAULT now(),
        confirmed_by text CHECK (confirmed_by <> requested_by),
        confirmed_at timestamptz
    )
    """,
    "DROP INDEX audit_events_challenge",
    "CREATE INDEX audit_events_challenge ON audit_events (challenge_id, txid, position)",
    "DROP INDEX audit_events_psu",
    "CREATE INDEX audit_events_psu ON audit_events (psu, txid, position)",
    "CREATE INDEX audit_events_type ON audit_events (type, txid, position)",
    "CREATE INDEX audit_events_client ON audit_events (client_id, txid, position)",
    "CREATE INDEX audit_events_at ON audit_events USING brin (at)",
)

_TABLES = (
    *("erasures", "audit_private", "payer_keys", "log_witnesses", "log_keys", "log_checkpoints", "log_tiles"),
    "log_state",
)


def upgrade() -> None:
    """Create the tables, and make the events canonical that were written before (RFC 8785)."""
    for statement in _UP:
        op.execute(statement)
    _make_canonical(op.get_bind())


def downgrade() -> None:
    """Drop the log's proofs, and with the payers' keys what is personal beside the leaves."""
    for table in _TABLES:
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP INDEX audit_events_type")
    op.execute("DROP INDEX audit_events_client")
    op.execute("DROP INDEX audit_events_at")
    op.execute("DELETE FROM audit_leaves WHERE event_id NOT IN (SELECT id FROM audit_events)")
    op.execute(
        "ALTER TABLE audit_leaves ADD CONSTRAINT audit_leaves_event_id_fkey FOREIGN KEY (event_id)"
        " REFERENCES audit_events (id)"
    )


def _make_canonical(connection: sa.Connection) -> None:
    last = ""
    while True:
        rows = connection.execute(
            sa.text("SELECT id, body FROM audit_events WHERE id > :last ORDER BY id LIMIT :most"),
            {"last": last, "most": _ROWS_AT_ONCE},
        ).all()
        if not rows:
            return
        for event_id, body in rows:
            canonical = msgspec.json.encode(msgspec.json.decode(body), order="sorted").decode()
            if canonical != body:
                connection.execute(
                    sa.text("UPDATE audit_events SET body = :body WHERE id = :id"),
                    {"id": event_id, "body": canonical},
                )
        last = rows[-1][0]
