"""Devices, passkeys and phone lines: suspended ones, and no key twice."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Let an authenticator be suspended, and name the key that it holds."""
    op.execute(
        """
        ALTER TABLE authenticators
            DROP CONSTRAINT authenticators_state_check,
            ADD CONSTRAINT authenticators_state_check
                CHECK (state IN ('pending', 'active', 'suspended', 'revoked')),
            ADD COLUMN key_name text UNIQUE,
            ADD COLUMN suspended_at timestamptz
        """
    )


def downgrade() -> None:
    """Revoke what is suspended: an older service would not know it."""
    op.execute(
        """
        UPDATE authenticators SET state = 'revoked', sealed = '', revoked_at = clock_timestamp()
        WHERE state = 'suspended'
        """
    )
    op.execute(
        """
        ALTER TABLE authenticators
            DROP COLUMN key_name,
            DROP COLUMN suspended_at,
            DROP CONSTRAINT authenticators_state_check,
            ADD CONSTRAINT authenticators_state_check CHECK (state IN ('pending', 'active', 'revoked'))
        """
    )
