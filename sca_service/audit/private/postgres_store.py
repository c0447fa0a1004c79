"""Payers' keys, sealed values and erasures in PostgreSQL: the statements, and nothing else."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import insert_events

Connection = asyncpg.pool.PoolConnectionProxy
Pool = asyncpg.Pool

# In one step for those who have a key and for those who get theirs now. A row that another commit adds at the same time
# is in neither half: whoever asks again finds it.
_KEYS = """
    WITH added AS (
        INSERT INTO payer_keys (psu, wrapped) SELECT * FROM unnest($1::text[], $2::text[])
        ON CONFLICT (psu) WHERE destroyed_at IS NULL DO NOTHING
        RETURNING id, psu, wrapped
    )
    SELECT id, psu, wrapped FROM added
    UNION ALL
    SELECT id, psu, wrapped FROM payer_keys WHERE psu = ANY($1::text[]) AND destroyed_at IS NULL
"""

# A key that was destroyed or pruned since it was read takes nothing any more. The lock holds until the commit: whoever
# destroys or prunes the key has either done so before, or sees what is sealed here. An event that is told again after
# its challenge was erased seals nothing, under the key of a payer who came back either.
_SEAL = """
    INSERT INTO audit_private (event_id, key_id, sealed)
    SELECT private.event_id, private.key_id, private.sealed
    FROM unnest($1::text[], $2::bigint[], $3::bytea[]) AS private (event_id, key_id, sealed)
    JOIN payer_keys AS key ON key.id = private.key_id AND key.destroyed_at IS NULL
    WHERE NOT COALESCE(
        (SELECT erased FROM challenges WHERE id =
            (SELECT challenge_id FROM audit_events AS event WHERE event.id = private.event_id)), false)
    FOR SHARE OF key
    ON CONFLICT (event_id) DO NOTHING
"""

_GONE = """
    SELECT DISTINCT wanted.id FROM unnest($1::bigint[]) AS wanted (id)
    WHERE NOT EXISTS (SELECT FROM payer_keys AS key WHERE key.id = wanted.id AND key.destroyed_at IS NULL)
"""

_SEALED = """
    SELECT private.event_id, private.sealed, key.id AS key_id, key.psu, key.wrapped
    FROM audit_private AS private JOIN payer_keys AS key ON key.id = private.key_id
    WHERE private.event_id = ANY($1::text[])
"""

_REQUEST = """
    INSERT INTO erasures (id, client_id, psu, reason, requested_by) VALUES ($1, $2, $3, $4, $5)
"""

# Four eyes in one statement: somebody else than who asked, and once.
_CONFIRM = """
    UPDATE erasures SET confirmed_by = $2, confirmed_at = now()
    WHERE id = $1 AND confirmed_at IS NULL AND requested_by <> $2
    RETURNING client_id, psu, reason, requested_by
"""

# What enrols an authenticator holds it too (authenticators/postgres_store.py): it is there before, or never.
_LOCK_PAYER = "SELECT pg_advisory_xact_lock(hashtextextended($1, 1))"

_DESTROY = """
    UPDATE payer_keys SET wrapped = NULL, destroyed_at = now()
    WHERE psu = $1 AND destroyed_at IS NULL
    RETURNING id
"""

_KNOWS = """
    SELECT EXISTS (SELECT FROM payer_keys WHERE psu = $1) OR EXISTS (SELECT FROM challenges WHERE psu = $1)
        OR EXISTS (SELECT FROM audit_events WHERE psu = $1) OR EXISTS (SELECT FROM authenticators WHERE psu = $1)
        OR EXISTS (SELECT FROM push_subscriptions WHERE psu = $1)
        OR EXISTS (SELECT FROM exemption_assessments WHERE psu = $1)
        OR EXISTS (SELECT FROM trusted_beneficiaries WHERE psu = $1)
        OR EXISTS (SELECT FROM risk_marks WHERE kind = 'payer' AND subject = $1)
        OR EXISTS (SELECT FROM alerts WHERE psu = $1) OR EXISTS (SELECT FROM alert_consents WHERE psu = $1)
        OR EXISTS (SELECT FROM cards WHERE psu = CASE WHEN $1 ~ '^[0-9a-f]{32}$' THEN $1::uuid END)
"""

# Before the alerts: who changes a card holds it, so whatever alert it led to is there by then, and no other follows.
_FORGET_CARDS = "cards WHERE psu = CASE WHEN $1::text ~ '^[0-9a-f]{32}$' THEN $1::text::uuid END"

# What was paid stays in the figures and in the counters, which an erasure must not set back; to whom is forgotten.
_BARE_PAYMENTS = """
    UPDATE exemption_assessments SET payee = NULL, payee_subject = NULL, transaction = NULL, series = NULL
    WHERE psu = $1
"""

# What waits is not sent any more. That there was an alert stays, so that its key sends no second one.
_BARE_ALERTS = """
    UPDATE alerts SET sealed = '', due_at = NULL, time_zone = '',
        reason = CASE WHEN status = 'queued' THEN 'erased' ELSE reason END,
        status = CASE WHEN status = 'queued' THEN 'suppressed' ELSE status END
    WHERE psu = $1
"""
# In the order in which workers change several of them, so that neither waits for the other for good.
_LOCK_ALERTS = "SELECT id FROM alerts WHERE psu = $1 ORDER BY id FOR UPDATE"

_OF_PAYERS = (
    "trusted_beneficiaries",
    "exemption_series",
    "exemption_accesses",
    "alert_links",
    "alert_consents",
)
"""Tables of which nothing about an erased payer stays."""

# Behind the payer's key, as commits take them, so that neither waits for the other for good; in one order.
_LOCK_CHALLENGES = "SELECT id, state FROM challenges WHERE psu = $1 ORDER BY id FOR UPDATE"

_BARE = "UPDATE challenges SET state = $2, erased = true WHERE id = $1"

# The oldest come first: behind a portion in which all are too young there is nothing to prune.
_PORTION = """
    SELECT max(id) AS last, min(created_at) < now() - make_interval(years => $2) AS has_old
    FROM (SELECT id, created_at FROM payer_keys WHERE id > $1 ORDER BY id LIMIT $3) AS portion
"""

_LOCK_UNUSED = """
    SELECT key.id FROM payer_keys AS key
    WHERE key.id > $1 AND key.id <= $2
      AND COALESCE(key.destroyed_at, key.created_at) < now() - make_interval(years => $3)
      AND NOT EXISTS (SELECT FROM audit_private AS private WHERE private.key_id = key.id)
    FOR UPDATE OF key SKIP LOCKED
"""

# Asked again, in a statement that sees what was committed before the lock was taken.
_PRUNE_UNUSED = """
    DELETE FROM payer_keys AS key WHERE key.id = ANY($1::bigint[])
      AND NOT EXISTS (SELECT FROM audit_private AS private WHERE private.key_id = key.id)
"""

_MOST_KEYS_LOOKED_AT = 10_000
"""What one transaction looks at: some ten milliseconds, in which a payer who comes back may have to wait."""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A payer's key as it is stored: wrapped, or empty once it was destroyed."""

    id: int
    psu: str
    wrapped: str | None


@dataclass(frozen=True, slots=True)
class SealedRow:
    """Sealed values of one event, and the key they are sealed under."""

    event_id: str
    sealed: bytes
    key: KeyRow


@dataclass(frozen=True, slots=True)
class ErasureRow:
    """A wish to erase a payer: whose client, who asked and why, and who confirmed it when."""

    id: str
    client: str
    psu: str
    reason: str
    requested_by: str
    requested_at: datetime | None = None
    confirmed_by: str | None = None
    confirmed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Destroyed:
    """What an erasure destroyed, by number; challenges stay on record without what was personal."""

    keys: int
    values: int
    challenges: int
    devices: int
    authenticators: int


Bare = Callable[[Mapping[str, bytes]], Mapping[str, bytes]]
"""Packed states of challenges by id, without what was personal. Raises what stops the erasure."""


async def keys_of(connection: Connection, wrapped: Mapping[str, str]) -> list[KeyRow]:
    """The living keys of these payers; who has none gets the one given, wrapped.

    In one order, so that commits never deadlock. A payer who gets a key in another commit right now may be missing.
    """
    payers = sorted(wrapped)
    rows = await connection.fetch(_KEYS, payers, [wrapped[payer] for payer in payers])
    return [KeyRow(row["id"], row["psu"], row["wrapped"]) for row in rows]


async def add_sealed(connection: Connection, rows: Sequence[tuple[str, int, bytes]]) -> list[int]:
    """Store sealed values of events under their keys. Returns the keys that were destroyed or pruned meanwhile."""
    columns = tuple(zip(*rows, strict=True))
    tag = await connection.execute(_SEAL, *columns)
    if int(tag.rsplit(" ", 1)[-1]) == len(rows):
        return []
    return [row["id"] for row in await connection.fetch(_GONE, columns[1])]


async def prune_keys(
    connection: Connection, after: int, *, years: int, most: int = _MOST_KEYS_LOOKED_AT
) -> int | None:
    """Delete keys, living or destroyed, under which nothing is sealed and which are older than `years`.

    Looks at the next keys behind the id `after`, `most` at once. Returns the id behind which to go on, or None when no
    older key is left. A key that somebody seals under right now stays.
    """
    async with connection.transaction():
        portion = await connection.fetchrow(_PORTION, after, years, most)
        if portion is None or not portion["has_old"]:
            return None
        last: int = portion["last"]
        unused = [row["id"] for row in await connection.fetch(_LOCK_UNUSED, after, last, years)]
        await connection.execute(_PRUNE_UNUSED, unused)
        return last


async def read_sealed(connection: Connection, event_ids: Sequence[str]) -> list[SealedRow]:
    """The sealed values of these events, those of destroyed keys too."""
    return [
        SealedRow(row["event_id"], row["sealed"], KeyRow(row["key_id"], row["psu"], row["wrapped"]))
        for row in await connection.fetch(_SEALED, event_ids)
    ]


class ErasureStore:
    """The `erasures` table and what goes with a confirmation. A class because it holds the pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def request(self, row: ErasureRow, event: AuditEvent) -> None:
        """Store a wish and the event that says so."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_REQUEST, row.id, row.client, row.psu, row.reason, row.requested_by)
            await insert_events(connection, [event])

    async def pending(self) -> list[ErasureRow]:
        """The wishes that nobody has confirmed, the oldest first."""
        rows = await self._pool.fetch(
            "SELECT * FROM erasures WHERE confirmed_at IS NULL ORDER BY requested_at, id"
        )
        return [_erasure(row) for row in rows]

    async def get(self, erasure_id: str) -> ErasureRow | None:
        """One wish, or None."""
        row = await self._pool.fetchrow("SELECT * FROM erasures WHERE id = $1", erasure_id)
        return _erasure(row) if row else None

    async def knows(self, psu: str) -> bool:
        """Whether anything at all is on record of a payer."""
        known: bool = await self._pool.fetchval(_KNOWS, psu)
        return known

    async def confirm(
        self, erasure_id: str, confirmed_by: str, *, event: AuditEvent, bare: Bare
    ) -> Destroyed | None:
        """Destroy the payer's key and everything sealed under it, and put it on record: all or nothing.

        `bare` gets the payer's challenges as they are once nobody can write them any more. None when the wish is
        unknown, was confirmed before, or `confirmed_by` is who asked.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            confirmed = await connection.fetchrow(_CONFIRM, erasure_id, confirmed_by)
            if confirmed is None:
                return None
            psu: str = confirmed["psu"]
            await connection.execute(_LOCK_PAYER, psu)
            keys = [row["id"] for row in await connection.fetch(_DESTROY, psu)]
            values = await _delete(connection, "audit_private WHERE key_id = ANY($1::bigint[])", keys)
            devices = await _delete(connection, "push_subscriptions WHERE psu = $1", psu)
            authenticators = await _delete(connection, "authenticators WHERE psu = $1", psu)
            for table in _OF_PAYERS:
                await _delete(connection, f"{table} WHERE psu = $1", psu)
            await _delete(connection, "risk_marks WHERE kind = 'payer' AND subject = $1", psu)
            await _delete(connection, _FORGET_CARDS, psu)
            await connection.execute(_BARE_PAYMENTS, psu)
            await connection.execute(_LOCK_ALERTS, psu)
            await connection.execute(_BARE_ALERTS, psu)
            rows = await connection.fetch(_LOCK_CHALLENGES, psu)
            bared = bare({row["id"]: row["state"] for row in rows})
            await connection.executemany(_BARE, list(bared.items()))
            await insert_events(connection, [event])
            return Destroyed(len(keys), values, len(bared), devices, authenticators)

    async def challenges_of(self, psu: str) -> dict[str, bytes]:
        """The packed states of a payer's challenges by id."""
        rows = await self._pool.fetch("SELECT id, state FROM challenges WHERE psu = $1", psu)
        return {row["id"]: row["state"] for row in rows}

    async def client_of(self, key_hash: bytes, scope: str) -> str | None:
        """The client whose valid API key this is, when it has the scope; else None.

        A key that is bound to a certificate is good over HTTP only, behind the proxy that has seen it.
        """
        client: str | None = await self._pool.fetchval(
            """
            SELECT client.id FROM api_keys AS key JOIN clients AS client ON client.id = key.client_id
            WHERE key.hash = $1 AND client.revoked_at IS NULL AND (key.ends_at IS NULL OR key.ends_at > now())
              AND $2 = ANY(client.scopes) AND NOT client.certificate_bound
            """,
            key_hash,
            scope,
        )
        return client


async def _delete(connection: Connection, what: str, which: str | Sequence[int]) -> int:
    """How many rows went; `what` is a table and a condition written above."""
    tag: str = await connection.execute(f"DELETE FROM {what}", which)  # noqa: S608 - never from outside  # nosemgrep: sql-is-fixed-text
    return int(tag.rsplit(" ", 1)[-1])


def _erasure(row: asyncpg.Record) -> ErasureRow:
    return ErasureRow(
        id=row["id"],
        client=row["client_id"],
        psu=row["psu"],
        reason=row["reason"],
        requested_by=row["requested_by"],
        requested_at=row["requested_at"],
        confirmed_by=row["confirmed_by"],
        confirmed_at=row["confirmed_at"],
    )
