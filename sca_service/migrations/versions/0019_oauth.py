"""What clients prove themselves by where access is given (OAuth2)."""

from alembic import op

revision = "0019"
down_revision = "0018"

_UP = (
    # `content` is an Argon2id hash, a JWK set, a URL, or empty for a certificate.
    """
    CREATE TABLE oauth_credentials (
        id text PRIMARY KEY,
        client_id text NOT NULL REFERENCES clients (id),
        kind text NOT NULL,
        content text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        ends_at timestamptz
    )
    """,
)


def upgrade() -> None:
    """Create the table."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop the table: clients call with their API keys."""
    op.execute("DROP TABLE oauth_credentials")
