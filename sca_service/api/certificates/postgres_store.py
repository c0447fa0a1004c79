"""What clients are bound to, in PostgreSQL."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from sca_service.api.postgres_store import log_change
from sca_service.kernel.postgres import in_time

_VALID = """
    SELECT * FROM client_certificates WHERE ends_at IS NULL OR ends_at > now() ORDER BY client_id, created_at, id
"""


@dataclass(frozen=True, slots=True)
class BindingRow:
    """A binding as it is stored: `thumbprint` of one certificate, or the `authority` that issued any of `subject`.

    `organisation` and `roles` are those of the certificate that it was made from (ETSI TS 119 495), empty without.
    """

    id: str
    client: str
    thumbprint: str
    subject: str
    authority: bytes | None
    organisation: str
    roles: tuple[str, ...]
    expires_at: datetime
    ends_at: datetime | None = None


class BindingStore:
    """The table `client_certificates`, and the mark of clients that are bound. A class because it holds the pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def valid(self) -> list[BindingRow]:
        """All bindings that hold now. Raises StoreUnavailable."""
        return [_row(row) for row in await in_time(self._pool.fetch(_VALID))]

    async def bind(self, new: BindingRow, *, overlap_seconds: int | None) -> bool:
        """Store a binding; with an overlap the client's others end after it. False for an unknown or revoked client.

        From here on the client's keys ask for a certificate, also when every binding has ended.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            tag = await connection.execute(
                "UPDATE clients SET certificate_bound = true WHERE id = $1 AND revoked_at IS NULL", new.client
            )
            if tag.endswith(" 0"):
                return False
            if overlap_seconds is not None:
                await connection.execute(
                    """
                    UPDATE client_certificates SET ends_at = LEAST(ends_at, now() + make_interval(secs => $2))
                    WHERE client_id = $1
                    """,
                    new.client,
                    overlap_seconds,
                )
            await connection.execute(
                """
                INSERT INTO client_certificates
                    (id, client_id, thumbprint, subject, authority, organisation, roles, expires_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                """,
                new.id,
                new.client,
                new.thumbprint,
                new.subject,
                new.authority,
                new.organisation,
                list(new.roles),
                new.expires_at,
            )
            told = {
                "binding": new.id,
                "bound_to": "subject" if new.authority else "certificate",
                "certificate": new.thumbprint,
                "subject": new.subject,
                "organisation": new.organisation,
                "roles": list(new.roles),
                "overlap_seconds": overlap_seconds,
            }
            members = {name: value for name, value in told.items() if value not in (None, "", [])}
            await log_change(connection, "client.bound", new.client, members)
            return True

    async def unbind(self, client: str, binding: str) -> bool:
        """End a binding at once; False where it is not the client's, or has ended. The client stays bound."""
        async with self._pool.acquire() as connection, connection.transaction():
            tag = await connection.execute(
                """
                DELETE FROM client_certificates
                WHERE client_id = $1 AND id = $2 AND (ends_at IS NULL OR ends_at > now())
                """,
                client,
                binding,
            )
            if tag.endswith(" 0"):
                return False
            await log_change(connection, "client.unbound", client, {"binding": binding})
            return True

    async def release(self, client: str) -> bool:
        """End all bindings: the client's keys ask for no certificate any more. False where it is not bound."""
        async with self._pool.acquire() as connection, connection.transaction():
            tag = await connection.execute(
                "UPDATE clients SET certificate_bound = false WHERE id = $1 AND certificate_bound", client
            )
            if tag.endswith(" 0"):
                return False
            await connection.execute("DELETE FROM client_certificates WHERE client_id = $1", client)
            await log_change(connection, "client.released", client, {})
            return True


def _row(row: asyncpg.Record) -> BindingRow:
    return BindingRow(
        row["id"],
        row["client_id"],
        row["thumbprint"],
        row["subject"],
        row["authority"],
        row["organisation"],
        tuple(row["roles"]),
        row["expires_at"],
        row["ends_at"],
    )
