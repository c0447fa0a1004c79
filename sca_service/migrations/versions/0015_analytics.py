"""Analytics: figures by the minute, the hour and the day, and the deliveries behind them. No table names a payer."""

from alembic import op

revision = "0015"
down_revision = "0014"

_UP = (
    """
    CREATE TABLE analytics_keys (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        subject text NOT NULL,
        client text NOT NULL,
        purpose text NOT NULL,
        method text NOT NULL,
        channel text NOT NULL,
        country text NOT NULL,
        network text NOT NULL,
        supplier text NOT NULL,
        sender text NOT NULL,
        price text NOT NULL,
        UNIQUE (subject, client, purpose, method, channel, country, network, supplier, sender, price)
    )
    """,
    # `bins` and `numbers` belong together: a sketch has several, a plain count has bin 0 only.
    """
    CREATE TABLE analytics_figures (
        span text NOT NULL,
        at timestamptz NOT NULL,
        key integer NOT NULL,
        figure text NOT NULL,
        bins smallint[] NOT NULL,
        numbers bigint[] NOT NULL,
        PRIMARY KEY (span, at, key, figure)
    ) WITH (fillfactor = 80)
    """,
    # What has to be remembered of a challenge or an alert to count what is told of it later.
    """
    CREATE TABLE analytics_stories (
        owner text PRIMARY KEY,
        began_at timestamptz NOT NULL,
        story text NOT NULL
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX analytics_stories_began ON analytics_stories (began_at)",
    # The list behind the figures: a row for each try. Updates stay on the page (HOT): no index has a status in it.
    """
    CREATE TABLE analytics_deliveries (
        id text NOT NULL,
        number smallint NOT NULL,
        owner text NOT NULL,
        key integer NOT NULL,
        began_at timestamptz NOT NULL,
        status text NOT NULL,
        reason text NOT NULL,
        was_taken boolean NOT NULL,
        sent_at timestamptz,
        final_at timestamptz,
        answered boolean NOT NULL,
        converted_at timestamptz,
        clicked boolean NOT NULL,
        PRIMARY KEY (id, number)
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX analytics_deliveries_newest ON analytics_deliveries (began_at DESC, id DESC, number DESC)",
    # One row: the date of the newest event that was counted.
    """
    CREATE TABLE analytics_progress (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        counted_at timestamptz NOT NULL DEFAULT 'epoch'
    ) WITH (fillfactor = 50)
    """,
    "INSERT INTO analytics_progress DEFAULT VALUES",
)

_TABLES = (
    *("analytics_progress", "analytics_deliveries", "analytics_stories"),
    *("analytics_figures", "analytics_keys"),
)


def upgrade() -> None:
    """Create the tables."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables; what they hold can be counted again from the log, by a follower that begins anew."""
    for table in _TABLES:
        op.execute(f"DROP TABLE {table}")
    op.execute("DELETE FROM followers WHERE name = 'analytics'")
