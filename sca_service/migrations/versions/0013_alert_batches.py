"""Alerts in batches, at a time and with links; what payers consent to, by topic."""

from alembic import op

revision = "0013"
down_revision = "0012"

_UP = (
    # `send_at` is the wish of whoever ordered it; `time_zone` is where its quiet hours are, empty where policy says it.
    """
    ALTER TABLE alerts
        ADD COLUMN topic text NOT NULL DEFAULT '',
        ADD COLUMN time_zone text NOT NULL DEFAULT '',
        ADD COLUMN send_at timestamptz
    """,
    # Room for the versions of a row on its page: what happens to an alert then touches no index.
    "ALTER TABLE alerts SET (fillfactor = 70)",
    # Lists go on behind a moment in milliseconds, so there are none between.
    "UPDATE alerts SET created_at = date_trunc('milliseconds', created_at)",
    "CREATE INDEX alerts_client ON alerts (client_id, created_at, id)",
    # `id` is what stands in the link; `url` is sealed for it. Clicks are all that were counted.
    """
    CREATE TABLE alert_links (
        id text PRIMARY KEY,
        alert_id text NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
        client_id text NOT NULL,
        psu text NOT NULL,
        url text NOT NULL,
        expires_at timestamptz NOT NULL,
        clicks bigint NOT NULL DEFAULT 0,
        clicked_at timestamptz
    )
    """,
    "CREATE UNIQUE INDEX alert_links_alert ON alert_links (alert_id)",
    "CREATE INDEX alert_links_psu ON alert_links (psu)",
    # What a client says of a payer's consent.
    """
    CREATE TABLE alert_consents (
        client_id text NOT NULL,
        psu text NOT NULL,
        topic text NOT NULL,
        granted boolean NOT NULL,
        at timestamptz NOT NULL,
        PRIMARY KEY (psu, client_id, topic)
    )
    """,
    # An empty topic stands for all of them, as an empty client does.
    "ALTER TABLE opt_outs ADD COLUMN topic text NOT NULL DEFAULT ''",
    "ALTER TABLE opt_outs DROP CONSTRAINT opt_outs_pkey, ADD PRIMARY KEY (phone, client_id, topic)",
)

_DOWN = (
    "DELETE FROM opt_outs WHERE topic <> ''",
    "ALTER TABLE opt_outs DROP CONSTRAINT opt_outs_pkey, ADD PRIMARY KEY (phone, client_id)",
    "ALTER TABLE opt_outs DROP COLUMN topic",
    "DROP TABLE alert_consents",
    "DROP TABLE alert_links",
    "DROP INDEX alerts_client",
    "ALTER TABLE alerts RESET (fillfactor)",
    "ALTER TABLE alerts DROP COLUMN topic, DROP COLUMN time_zone, DROP COLUMN send_at",
)


def upgrade() -> None:
    """Add columns and tables."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Take them away; opt-outs of a topic are forgotten, and links lead nowhere."""
    for statement in _DOWN:
        op.execute(statement)
