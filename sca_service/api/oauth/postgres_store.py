"""What clients prove themselves by at `/oauth/token`, in PostgreSQL."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from sca_service.api.oauth.model import Credential, CredentialKind
from sca_service.api.postgres_store import log_change
from sca_service.kernel.postgres import in_time

_VALID = """
    SELECT credential.*, client.scopes, client.certificate_bound
    FROM oauth_credentials AS credential JOIN clients AS client ON client.id = credential.client_id
    WHERE client.revoked_at IS NULL AND (credential.ends_at IS NULL OR credential.ends_at > now())
    ORDER BY credential.client_id, credential.created_at, credential.id
"""


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """A credential that holds, as it is stored, and whether its client is bound to certificates."""

    credential: Credential
    is_bound: bool
    ends_at: datetime | None


class CredentialStore:
    """The table `oauth_credentials`. A class because it holds the pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def valid(self) -> list[CredentialRow]:
        """Every credential of a client that may call. Raises StoreUnavailable."""
        return [_row(row) for row in await in_time(self._pool.fetch(_VALID))]

    async def add(
        self, credential_id: str, client: str, kind: CredentialKind, content: str, *, overlap_seconds: int
    ) -> bool:
        """Store a credential; the client's others end after the overlap. False for an unknown or revoked client."""
        async with self._pool.acquire() as connection, connection.transaction():
            if not await connection.fetchval(
                "SELECT true FROM clients WHERE id = $1 AND revoked_at IS NULL FOR UPDATE", client
            ):
                return False
            await connection.execute(
                """
                UPDATE oauth_credentials SET ends_at = LEAST(ends_at, now() + make_interval(secs => $2))
                WHERE client_id = $1
                """,
                client,
                overlap_seconds,
            )
            await connection.execute(
                "INSERT INTO oauth_credentials (id, client_id, kind, content) VALUES ($1, $2, $3, $4)",
                credential_id,
                client,
                kind.value,
                content,
            )
            members = {"credential": credential_id, "kind": kind.value, "overlap_seconds": overlap_seconds}
            await log_change(connection, "client.credential_added", client, members)
            return True

    async def end(self, client: str, credential_id: str) -> bool:
        """End a credential at once; False where it is not the client's, or has ended."""
        async with self._pool.acquire() as connection, connection.transaction():
            tag = await connection.execute(
                """
                UPDATE oauth_credentials SET ends_at = now()
                WHERE client_id = $1 AND id = $2 AND (ends_at IS NULL OR ends_at > now())
                """,
                client,
                credential_id,
            )
            if tag.endswith(" 0"):
                return False
            await log_change(connection, "client.credential_ended", client, {"credential": credential_id})
            return True


def _row(row: asyncpg.Record) -> CredentialRow:
    credential = Credential(
        row["id"], row["client_id"], frozenset(row["scopes"]), CredentialKind(row["kind"]), row["content"]
    )
    return CredentialRow(credential, row["certificate_bound"], row["ends_at"])
