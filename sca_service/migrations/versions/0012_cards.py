"""Cards' balances, the charges that were made with them, and those that are to come."""

from alembic import op

revision = "0012"
down_revision = "0010"

_UP = (
    # Narrow, because there are millions, with room on each page so that a new balance changes no index. `card` is the
    # pseudonym of client and reference. Amounts are in minor units. `upcoming` counts the charges to come, so that they
    # are only looked for where there are any.
    """
    CREATE TABLE cards (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        as_of timestamptz NOT NULL,
        next_check_at timestamptz,
        balance bigint NOT NULL,
        threshold bigint,
        card uuid NOT NULL,
        psu uuid NOT NULL,
        alert uuid,
        episode integer NOT NULL DEFAULT 0,
        upcoming smallint NOT NULL DEFAULT 0,
        currency text NOT NULL,
        state text NOT NULL CHECK (state IN ('sufficient', 'approaching', 'below', 'recovered')),
        client_id text NOT NULL,
        sealed text NOT NULL
    ) WITH (fillfactor = 85)
    """,
    "CREATE UNIQUE INDEX cards_card ON cards (card)",
    "CREATE INDEX cards_psu ON cards (psu)",
    "CREATE INDEX cards_next_check ON cards (next_check_at) WHERE next_check_at IS NOT NULL",
    # `name` and `merchant` are pseudonyms; the merchant in clear is in `sealed`.
    """
    CREATE TABLE upcoming_charges (
        id text PRIMARY KEY,
        card_id bigint NOT NULL REFERENCES cards ON DELETE CASCADE,
        name uuid NOT NULL,
        merchant uuid NOT NULL,
        currency text NOT NULL,
        amount bigint NOT NULL CHECK (amount > 0),
        expected_on date NOT NULL,
        confidence smallint NOT NULL,
        source text NOT NULL CHECK (source IN ('issuer', 'merchant', 'payer', 'recognised')),
        is_warned boolean NOT NULL DEFAULT false,
        turn integer NOT NULL DEFAULT 0,
        alert uuid,
        sealed text NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX upcoming_charges_name ON upcoming_charges (card_id, name, expected_on)",
    """
    CREATE TABLE card_charges (
        id text PRIMARY KEY,
        card_id bigint NOT NULL REFERENCES cards ON DELETE CASCADE,
        name uuid NOT NULL,
        merchant uuid NOT NULL,
        currency text NOT NULL,
        amount bigint NOT NULL CHECK (amount > 0),
        made_on date NOT NULL,
        sealed text NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX card_charges_name ON card_charges (card_id, name)",
)


def upgrade() -> None:
    """Create the tables."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables; what is known of cards is lost, the alerts about them stay."""
    for table in ("card_charges", "upcoming_charges", "cards"):
        op.execute(f"DROP TABLE {table}")
