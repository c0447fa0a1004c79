"""What speaks against a payer beside facts: lists and reports that last; withdrawals, and what a challenge was for."""

from alembic import op

revision = "0011"
down_revision = "0010"

_UP = (
    # A later version replaces an earlier one, in Redis too: two copies that overtake each other come to the same.
    "CREATE SEQUENCE risk_mark_versions",
    # `subject` is a pseudonym, and the id is made of it; `sealed` is the end of what it stands for, empty where nothing
    # is listed.
    """
    CREATE TABLE risk_marks (
        id text PRIMARY KEY,
        client_id text NOT NULL,
        kind text NOT NULL CHECK (kind IN ('payer', 'device', 'payee', 'ip', 'phone', 'card')),
        subject text NOT NULL,
        sealed text NOT NULL DEFAULT '',
        reason text,
        listed_at timestamptz,
        listed_until timestamptz,
        reports integer NOT NULL DEFAULT 0,
        reports_until timestamptz,
        version bigint NOT NULL DEFAULT nextval('risk_mark_versions'),
        changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
    """,
    "CREATE INDEX risk_marks_listed ON risk_marks (client_id, id) WHERE listed_until IS NOT NULL",
    # Pseudonyms: of the transaction as it was assessed, and of the payee as risk knows it among all payers' payees.
    "ALTER TABLE exemption_assessments ADD COLUMN transaction text, ADD COLUMN payee_subject text",
    "CREATE INDEX exemption_assessments_created ON exemption_assessments (created_at, id)",
    """
    CREATE INDEX exemption_assessments_payee_subject ON exemption_assessments (payee_subject)
    WHERE payee_subject IS NOT NULL
    """,
    # A payment has one report that counts; one that was withdrawn stays on record and makes way.
    "ALTER TABLE fraud_reports ADD COLUMN withdrawn_at timestamptz, ADD COLUMN withdrawn_for text",
    "ALTER TABLE fraud_reports DROP CONSTRAINT fraud_reports_assessment_key",
    "CREATE UNIQUE INDEX fraud_reports_counting ON fraud_reports (assessment) WHERE withdrawn_at IS NULL",
    "CREATE INDEX fraud_reports_assessment ON fraud_reports (assessment)",
)

_DOWN = (
    "DELETE FROM fraud_reports WHERE withdrawn_at IS NOT NULL",
    "DROP INDEX fraud_reports_assessment",
    "DROP INDEX fraud_reports_counting",
    "ALTER TABLE fraud_reports ADD CONSTRAINT fraud_reports_assessment_key UNIQUE (assessment)",
    "ALTER TABLE fraud_reports DROP COLUMN withdrawn_at, DROP COLUMN withdrawn_for",
    "DROP INDEX exemption_assessments_created",
    "ALTER TABLE exemption_assessments DROP COLUMN transaction, DROP COLUMN payee_subject",
    "DROP TABLE risk_marks",
    "DROP SEQUENCE risk_mark_versions",
)


def upgrade() -> None:
    """Create the table and the columns."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop them: lists and reports speak against nobody any more, and what was withdrawn is forgotten."""
    for statement in _DOWN:
        op.execute(statement)
