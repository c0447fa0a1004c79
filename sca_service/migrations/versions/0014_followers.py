"""Followers of the log, which index each reads next; and webhooks: endpoints, their outbox, every attempt."""

from alembic import op

revision = "0014"
down_revision = "0013"

_UP = (
    # Updated for every portion: the row stays on its page (HOT).
    """
    CREATE TABLE followers (
        name text PRIMARY KEY,
        next_index bigint NOT NULL,
        moved_at timestamptz NOT NULL DEFAULT now()
    ) WITH (fillfactor = 50)
    """,
    # `sealed` holds what signs. `failing_since` is there while nothing arrives.
    """
    CREATE TABLE webhook_endpoints (
        id text PRIMARY KEY,
        client_id text NOT NULL REFERENCES clients (id),
        url text NOT NULL,
        description text NOT NULL,
        types text[] NOT NULL,
        scheme text NOT NULL CHECK (scheme IN ('v1', 'v1a')),
        sealed text NOT NULL,
        status text NOT NULL CHECK (status IN ('active', 'disabled')),
        reason text NOT NULL DEFAULT '',
        failing_since timestamptz,
        checkpoint_size bigint NOT NULL DEFAULT 0,
        checkpoint_at timestamptz NOT NULL DEFAULT '-infinity',
        created_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX webhook_endpoints_client ON webhook_endpoints (client_id, created_at, id)",
    # The outbox. `due_at` is there while a message waits: when it is sent next, or until when a worker has leased it.
    # `place` is the order of the log; `tries_before` are those of before a replay; `once` is told once only.
    """
    CREATE TABLE webhook_messages (
        id text PRIMARY KEY,
        endpoint_id text NOT NULL REFERENCES webhook_endpoints (id) ON DELETE CASCADE,
        place bigint GENERATED ALWAYS AS IDENTITY,
        type text NOT NULL,
        subject text NOT NULL,
        once text,
        at timestamptz NOT NULL,
        body text NOT NULL,
        status text NOT NULL CHECK (status IN ('waiting', 'delivered', 'dead')),
        reason text NOT NULL DEFAULT '',
        tries integer NOT NULL DEFAULT 0,
        tries_before integer NOT NULL DEFAULT 0,
        due_at timestamptz,
        settled_at timestamptz
    ) WITH (fillfactor = 80)
    """,
    "CREATE UNIQUE INDEX webhook_messages_once ON webhook_messages (endpoint_id, once) WHERE once IS NOT NULL",
    "CREATE INDEX webhook_messages_due ON webhook_messages (endpoint_id, due_at, place) WHERE due_at IS NOT NULL",
    """
    CREATE INDEX webhook_messages_subject ON webhook_messages (endpoint_id, subject, place)
    WHERE due_at IS NOT NULL
    """,
    "CREATE INDEX webhook_messages_place ON webhook_messages (endpoint_id, place)",
    "CREATE INDEX webhook_messages_settled ON webhook_messages (settled_at) WHERE settled_at IS NOT NULL",
    """
    CREATE TABLE webhook_attempts (
        message_id text NOT NULL REFERENCES webhook_messages (id) ON DELETE CASCADE,
        number integer NOT NULL,
        at timestamptz NOT NULL DEFAULT now(),
        outcome text NOT NULL,
        http_status integer,
        latency_ms integer NOT NULL,
        PRIMARY KEY (message_id, number)
    )
    """,
)

_TABLES = ("webhook_attempts", "webhook_messages", "webhook_endpoints", "followers")


def upgrade() -> None:
    """Create the tables."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables; followers begin anew."""
    for table in _TABLES:
        op.execute(f"DROP TABLE {table}")
