"""Exemptions: assessments and what they reserve, series, accesses, trusted beneficiaries, totals of payments."""

from alembic import op

revision = "0008"
down_revision = "0007"

_UP = (
    # `counted` rows are the counters of RTS Art. 11 and 16: what is reserved, and what was executed since the last
    # authentication. Amounts can exceed 64 bits.
    """
    CREATE TABLE exemption_assessments (
        id text PRIMARY KEY,
        client_id text NOT NULL,
        psu text NOT NULL,
        state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'lapsed', 'cancelled', 'executed')),
        exempt boolean NOT NULL,
        article text,
        told text NOT NULL,
        payment_type text,
        context text,
        currency text,
        minor numeric,
        cents numeric,
        payee text,
        instrument text,
        series text,
        aisp text,
        counter text,
        counted boolean NOT NULL,
        basis text,
        authenticated_by text UNIQUE,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        expires_at timestamptz NOT NULL,
        executed_at timestamptz,
        executed_on date
    )
    """,
    "CREATE INDEX exemption_assessments_counted ON exemption_assessments (psu, counter) WHERE counted",
    "CREATE INDEX exemption_assessments_psu ON exemption_assessments (psu)",
    """
    CREATE TABLE exemption_series (
        psu text NOT NULL,
        series text NOT NULL,
        currency text NOT NULL,
        minor numeric NOT NULL,
        payee text NOT NULL,
        PRIMARY KEY (psu, series)
    )
    """,
    # `aisp` is empty for what the payer accesses directly.
    """
    CREATE TABLE exemption_accesses (
        psu text NOT NULL,
        aisp text NOT NULL,
        authenticated_at timestamptz NOT NULL,
        PRIMARY KEY (psu, aisp)
    )
    """,
    """
    CREATE TABLE trusted_beneficiaries (
        id text PRIMARY KEY,
        client_id text NOT NULL,
        psu text NOT NULL,
        payee text NOT NULL,
        sealed text NOT NULL,
        added_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        removed_at timestamptz
    )
    """,
    "CREATE UNIQUE INDEX trusted_beneficiaries_payee ON trusted_beneficiaries (psu, payee) WHERE removed_at IS NULL",
    # An approval changes a list once.
    """
    CREATE TABLE beneficiary_authorisations (
        approval text PRIMARY KEY,
        psu text NOT NULL,
        used_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
    """,
    """
    CREATE TABLE fraud_reports (
        id text PRIMARY KEY,
        client_id text NOT NULL,
        assessment text NOT NULL UNIQUE,
        kind text NOT NULL,
        reported_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
    """,
    # Per day, by what the payment rested on. In slots, so that payments of one day need not wait for each other.
    """
    CREATE TABLE payment_totals (
        client_id text NOT NULL,
        payment_type text NOT NULL,
        context text NOT NULL,
        day date NOT NULL,
        basis text NOT NULL,
        slot smallint NOT NULL,
        payments bigint NOT NULL DEFAULT 0,
        cents numeric NOT NULL DEFAULT 0,
        fraud_payments bigint NOT NULL DEFAULT 0,
        fraud_cents numeric NOT NULL DEFAULT 0,
        PRIMARY KEY (client_id, payment_type, context, day, basis, slot)
    )
    """,
)

_TABLES = (
    *("payment_totals", "fraud_reports", "beneficiary_authorisations", "trusted_beneficiaries"),
    *("exemption_accesses", "exemption_series", "exemption_assessments"),
)


def upgrade() -> None:
    """Create the tables."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables, and with them every counter; payers authenticate anew."""
    for table in _TABLES:
        op.execute(f"DROP TABLE {table}")
