"""Push subscriptions in PostgreSQL: who has which device, sealed; every change of it is on record with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg

from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import insert_events
from sca_service.delivery.channels.push.model import MOST_SUBSCRIPTIONS, PushKind
from sca_service.kernel.ids import new_id
from sca_service.kernel.postgres import in_time

# The device may have been another payer's until now. What it pushes out are the payer's other devices, the one that
# registered longest ago first; the payer's lock is held, so that parallel additions see each other.
_ADD = """
    WITH before AS (
        SELECT id, client_id, psu, kind FROM push_subscriptions WHERE fingerprint = $6
    ), added AS (
        INSERT INTO push_subscriptions AS device (id, client_id, psu, kind, address, fingerprint, registered_at)
        VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp())
        ON CONFLICT (fingerprint) DO UPDATE
            SET id = excluded.id, psu = excluded.psu, address = excluded.address,
                registered_at = excluded.registered_at,
                used_at = CASE WHEN device.id = excluded.id THEN device.used_at END
        RETURNING registered_at, used_at
    ), replaced AS (
        DELETE FROM push_subscriptions WHERE id IN (
            SELECT id FROM push_subscriptions WHERE psu = $3 AND fingerprint <> $6
            ORDER BY registered_at DESC, id DESC OFFSET $7
        )
        RETURNING id, client_id, psu, kind
    )
    SELECT 'added' AS what, $1::text AS id, $2::text AS client_id, $3::text AS psu, $4::text AS kind,
           registered_at, used_at FROM added
    UNION ALL SELECT 'moved', id, client_id, psu, kind, NULL, NULL FROM before WHERE id <> $1
    UNION ALL SELECT 'replaced', id, client_id, psu, kind, NULL, NULL FROM replaced
"""

_OF = """
    SELECT id, kind, address, registered_at, used_at FROM push_subscriptions
    WHERE psu = $1 AND ($2::text IS NULL OR kind = $2)
    ORDER BY registered_at DESC, id DESC LIMIT $3
"""

_REMOVE = """
    DELETE FROM push_subscriptions WHERE id = $1 AND ($2::text IS NULL OR psu = $2)
    RETURNING id, client_id, psu, kind
"""


@dataclass(frozen=True, slots=True)
class NewRow:
    """A device as it is stored; `address` is sealed for the record `id`."""

    id: str
    client: str
    payer: str
    kind: PushKind
    address: str = field(repr=False)
    fingerprint: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """A device as it is read."""

    id: str
    kind: PushKind
    address: str = field(repr=False)
    registered_at: datetime
    used_at: datetime | None


class SubscriptionStore:
    """The table `push_subscriptions`. A class because it holds the pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def add(self, row: NewRow, at_ms: int, origin: Mapping[str, object]) -> SubscriptionRow:
        """Store a device, or store anew one that is known; the payer has at most ten afterwards.

        A device has one payer: it is taken from another one of the client. `origin` is what the events say of the
        request. Raises StoreUnavailable.
        """
        return await in_time(self._add(row, at_ms, origin))

    async def of(self, payer: str, kind: PushKind | None = None) -> list[SubscriptionRow]:
        """A payer's devices, the one that registered last first. Raises StoreUnavailable."""
        rows = await in_time(self._pool.fetch(_OF, payer, kind, MOST_SUBSCRIPTIONS))
        return [
            SubscriptionRow(
                row["id"], PushKind(row["kind"]), row["address"], row["registered_at"], row["used_at"]
            )
            for row in rows
        ]

    async def remove(
        self, subscription_id: str, payer: str | None, at_ms: int, origin: Mapping[str, object]
    ) -> bool:
        """Forget a device; False when there is none with this id (and of this payer). Raises StoreUnavailable."""
        return await in_time(self._remove(subscription_id, payer, at_ms, origin))

    async def used(self, subscription_ids: Sequence[str]) -> None:
        """These took a message now. Raises StoreUnavailable."""
        await in_time(
            self._pool.execute(
                "UPDATE push_subscriptions SET used_at = now() WHERE id = ANY($1::text[])",
                list(subscription_ids),
            )
        )

    async def _add(self, row: NewRow, at_ms: int, origin: Mapping[str, object]) -> SubscriptionRow:
        async with self._pool.acquire() as connection, connection.transaction():
            # A lock of its own statement: the next one then sees what those before it have added.
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", row.payer)
            changes = await connection.fetch(
                _ADD,
                row.id,
                row.client,
                row.payer,
                row.kind,
                row.address,
                row.fingerprint,
                MOST_SUBSCRIPTIONS - 1,
            )
            await insert_events(connection, [_event(change, at_ms, origin) for change in changes])
            added = next(change for change in changes if change["what"] == "added")
            return SubscriptionRow(row.id, row.kind, row.address, added["registered_at"], added["used_at"])

    async def _remove(
        self, subscription_id: str, payer: str | None, at_ms: int, origin: Mapping[str, object]
    ) -> bool:
        async with self._pool.acquire() as connection, connection.transaction():
            removed = await connection.fetchrow(_REMOVE, subscription_id, payer)
            if removed:
                await insert_events(connection, [_event(removed, at_ms, origin)])
            return removed is not None


def _event(change: asyncpg.Record, at_ms: int, origin: Mapping[str, object]) -> AuditEvent:
    what = change.get("what", "removed")
    members: dict[str, Any] = {
        "client": change["client_id"],
        "psu": change["psu"],
        **origin,
        "subscription": change["id"],
        "kind": change["kind"],
    }
    if what != "added":
        members.setdefault("reason", what)
    return AuditEvent.create(
        event_id=new_id("evt"),
        kind="push_subscription.added" if what == "added" else "push_subscription.removed",
        at_ms=at_ms,
        members=members,
    )
