"""Certificates that clients are bound to: a key of theirs without one is refused."""

from alembic import op

revision = "0018"
down_revision = "0015"

_UP = (
    # A mark of its own: a client whose bindings have all ended is bound still.
    "ALTER TABLE clients ADD COLUMN certificate_bound boolean NOT NULL DEFAULT false",
    # With an authority (DER), any certificate of the subject that it issued; without, the one with this thumbprint.
    """
    CREATE TABLE client_certificates (
        id text PRIMARY KEY,
        client_id text NOT NULL REFERENCES clients (id),
        thumbprint text NOT NULL,
        subject text NOT NULL,
        authority bytea,
        organisation text NOT NULL,
        roles text[] NOT NULL,
        expires_at timestamptz NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        ends_at timestamptz
    )
    """,
)


def upgrade() -> None:
    """Create the table; no client is bound."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop the table. Keys that were bound work without a certificate then: the older release knows none."""
    op.execute("DROP TABLE client_certificates")
    op.execute("ALTER TABLE clients DROP COLUMN certificate_bound")
