"""Clients and their keys, and the audit log as it is read, in PostgreSQL."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg

from sca_service.audit.listing.postgres_store import EventFilter, EventLists, EventRow
from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import insert_events
from sca_service.kernel.ids import new_id
from sca_service.kernel.postgres import in_time

_VALID_KEYS = """
    SELECT client.id, client.scopes, client.created_at, client.revoked_at, client.certificate_bound, key.hash
    FROM api_keys AS key JOIN clients AS client ON client.id = key.client_id
    WHERE client.revoked_at IS NULL AND (key.ends_at IS NULL OR key.ends_at > now())
"""


@dataclass(frozen=True, slots=True)
class ClientRow:
    """A client as it is stored; `key_hash` is empty where no key was asked for.

    A client that `is_bound` needs a certificate beside its key.
    """

    id: str
    scopes: frozenset[str]
    created_at: datetime
    revoked_at: datetime | None
    key_hash: bytes = field(default=b"", repr=False)
    is_bound: bool = False


class ClientStore:
    """The tables `clients` and `api_keys`. A class because it holds the pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def valid_keys(self) -> list[ClientRow]:
        """Every client that may call, once per valid key. Raises StoreUnavailable."""
        return [_client(row, row["hash"]) for row in await in_time(self._pool.fetch(_VALID_KEYS))]

    async def all(self) -> list[ClientRow]:
        """All clients, the oldest first."""
        return [
            _client(row) for row in await self._pool.fetch("SELECT * FROM clients ORDER BY created_at, id")
        ]

    async def create(self, client_id: str, scopes: list[str], key_hash: bytes) -> bool:
        """Store a client and its first key; False when the id is taken."""
        async with self._pool.acquire() as connection, connection.transaction():
            tag = await connection.execute(
                "INSERT INTO clients (id, scopes) VALUES ($1, $2) ON CONFLICT DO NOTHING", client_id, scopes
            )
            if tag.endswith(" 0"):
                return False
            await connection.execute(
                "INSERT INTO api_keys (hash, client_id) VALUES ($1, $2)", key_hash, client_id
            )
            await log_change(connection, "client.created", client_id, {"scopes": scopes})
            return True

    async def rotate(self, client_id: str, key_hash: bytes, overlap_seconds: int) -> bool:
        """Store a new key and let the older ones end; False for an unknown or revoked client."""
        async with self._pool.acquire() as connection, connection.transaction():
            if not await connection.fetchval(
                "SELECT true FROM clients WHERE id = $1 AND revoked_at IS NULL FOR UPDATE", client_id
            ):
                return False
            await connection.execute(
                "UPDATE api_keys SET ends_at = LEAST(ends_at, now() + make_interval(secs => $2)) WHERE client_id = $1",
                client_id,
                overlap_seconds,
            )
            await connection.execute(
                "INSERT INTO api_keys (hash, client_id) VALUES ($1, $2)", key_hash, client_id
            )
            await log_change(connection, "client.rotated", client_id, {"overlap_seconds": overlap_seconds})
            return True

    async def revoke(self, client_id: str) -> bool:
        """End a client; False for an unknown one, or one revoked before."""
        async with self._pool.acquire() as connection, connection.transaction():
            tag = await connection.execute(
                "UPDATE clients SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL", client_id
            )
            if tag.endswith(" 0"):
                return False
            await log_change(connection, "client.revoked", client_id, {})
            return True


class EventReader:
    """The audit log as auditors read it. A class because it holds the pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._lists = EventLists(pool)

    async def page(self, wanted: EventFilter, *, most: int) -> list[EventRow]:
        """Events in the order of the log, at most `most`. Raises StoreUnavailable."""
        return await self._lists.page(wanted, most=most)

    async def client_ids(self) -> list[str]:
        """The ids of all clients there have ever been. Raises StoreUnavailable."""
        return [row["id"] for row in await in_time(self._pool.fetch("SELECT id FROM clients"))]


async def log_change(
    connection: asyncpg.pool.PoolConnectionProxy, kind: str, client_id: str, members: Mapping[str, Any]
) -> None:
    """Put down what an operator changed about a client, in the transaction that changes it."""
    event = AuditEvent.create(
        event_id=new_id("evt"),
        kind=kind,
        at_ms=time.time_ns() // 1_000_000,
        members={"client": client_id, "actor": "operator", **members},
    )
    await insert_events(connection, [event])


def _client(row: asyncpg.Record, key_hash: bytes = b"") -> ClientRow:
    return ClientRow(
        row["id"],
        frozenset(row["scopes"]),
        row["created_at"],
        row["revoked_at"],
        key_hash,
        row["certificate_bound"],
    )
