"""Authenticators: what payers have enrolled, sealed, and the last step that each has used."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the table."""
    op.execute(
        """
        CREATE TABLE authenticators (
            id text PRIMARY KEY,
            client_id text NOT NULL,
            psu text NOT NULL,
            type text NOT NULL,
            state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'active', 'revoked')),
            sealed text NOT NULL,
            authorised_by text UNIQUE,
            tries smallint NOT NULL DEFAULT 0,
            last_step bigint NOT NULL DEFAULT -1,
            last_challenge text,
            created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            activated_at timestamptz,
            used_at timestamptz,
            revoked_at timestamptz
        )
        """
    )
    op.execute("CREATE INDEX authenticators_psu ON authenticators (psu)")


def downgrade() -> None:
    """Drop the table, and with it every seed."""
    op.execute("DROP TABLE authenticators")
