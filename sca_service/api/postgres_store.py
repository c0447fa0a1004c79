"""Clients and their keys, and the audit log as it is read, in PostgreSQL."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import insert_events
from sca_service.kernel.ids import new_id
from sca_service.kernel.postgres import in_time

_VALID_KEYS = """
    SELECT client.id, client.scopes, client.created_at, client.revoked_at, client.certificate_bound, key.hash
    FROM api_keys AS key JOIN clients AS client ON client.id = key.client_id
    WHERE client.revoked_at IS NULL AND (key.ends_at IS NULL OR key.ends_at > now())
"""

_EVENTS = """
    SELECT event.txid::text AS txid, event.position, event.body, event.psu, leaf.index,
           event.txid < pg_snapshot_xmin(pg_current_snapshot()) AS is_settled
    FROM audit_events AS event LEFT JOIN audit_leaves AS leaf ON leaf.event_id = event.id
    WHERE ($1::text[] IS NULL OR event.psu = ANY($1))
      AND ($2::text IS NULL OR event.challenge_id = $2)
      AND ($3::text IS NULL OR event.type = $3)
      AND ($4::timestamptz IS NULL OR event.at >= $4)
      AND ($5::timestamptz IS NULL OR event.at < $5)
      AND ($6::text IS NULL OR event.client_id = $6)
      AND ($7::text IS NULL OR (event.txid, event.position) > ($7::text::xid8, $8::bigint))
    ORDER BY event.txid, event.position
    LIMIT $9
"""

# Where the log stood shortly before a moment: what happened later cannot have been on record by then.
_PLACE_BEFORE = """
    SELECT event.txid::text AS txid, event.position
    FROM (SELECT size FROM log_checkpoints WHERE made_at < $1 AND size > 0 ORDER BY size DESC LIMIT 1) AS checkpoint
    JOIN audit_leaves AS leaf ON leaf.index = checkpoint.size - 1
    JOIN audit_events AS event ON event.id = leaf.event_id
"""
_CLOCKS_APART = timedelta(minutes=5)
"""More than two clocks of ours are apart: `clock.measured` says how much it is."""


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


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which audit events are wanted; None leaves a member open. `after` is the place of the last one before."""

    payers: list[str] | None = None
    challenge: str | None = None
    kind: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    client: str | None = None
    after: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event as it is read: its text, its index once it has one, and its place for the next page.

    Once it is settled no other event can come before it any more. `payer` is a pseudonym.
    """

    body: str
    index: int | None
    place: tuple[str, int]
    is_settled: bool
    payer: str | None


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

    async def page(self, wanted: EventFilter, *, most: int) -> list[EventRow]:
        """Events in the order of the log, at most `most`. Raises StoreUnavailable."""
        txid, position = wanted.after or await self._place_before(wanted.since) or (None, None)
        rows = await in_time(
            self._pool.fetch(
                _EVENTS,
                wanted.payers,
                wanted.challenge,
                wanted.kind,
                wanted.since,
                wanted.until,
                wanted.client,
                txid,
                position,
                most,
            )
        )
        return [
            EventRow(row["body"], row["index"], (row["txid"], row["position"]), row["is_settled"], row["psu"])
            for row in rows
        ]

    async def _place_before(self, since: datetime | None) -> tuple[str, int] | None:
        """From where to look for what happened since a moment, so that nobody looks through years before it."""
        if since is None:
            return None
        row = await in_time(self._pool.fetchrow(_PLACE_BEFORE, since - _CLOCKS_APART))
        return (row["txid"], row["position"]) if row else None

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
