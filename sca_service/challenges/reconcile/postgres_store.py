"""Everything that is compared, portion by portion: each in one snapshot, and none held open for the next."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg

from sca_service.challenges.reconcile.model import Span, StoredChallenge, StoredEvent
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.postgres import POSTGRES_AWAY

CHALLENGES_AT_ONCE = 500
EVENTS_AT_ONCE = 2_000
LEAVES_AT_ONCE = 5_000
_ANSWER_SECONDS = 60

_CHALLENGE = "SELECT id, client_id, psu, status, state FROM challenges"

_CHALLENGES = f"""
    {_CHALLENGE} WHERE id > $1 AND ($2::timestamptz IS NULL OR created_at >= $2)
      AND ($3::timestamptz IS NULL OR created_at < $3)
    ORDER BY id LIMIT {CHALLENGES_AT_ONCE}
"""

_EVENTS_OF = """
    SELECT challenge_id, body FROM audit_events WHERE challenge_id = ANY($1::text[])
    ORDER BY challenge_id, txid, position
"""

_ACCEPTANCES_OF = "SELECT challenge_id, event_id FROM acceptances WHERE challenge_id = ANY($1::text[])"

# Of each event what stands in other tables. An erasure that the log tells of explains why personal values are gone.
_EVENTS = f"""
    WITH event AS MATERIALIZED (
        SELECT * FROM audit_events WHERE (txid, position) > ($1::text::xid8, $2::bigint)
          AND ($3::timestamptz IS NULL OR at >= $3) AND ($4::timestamptz IS NULL OR at < $4)
        ORDER BY txid, position LIMIT {EVENTS_AT_ONCE}
    )
    SELECT event.id, event.at, event.type, event.client_id, event.psu, event.challenge_id, event.body,
           event.txid::text AS txid, event.position,
           leaf.index IS NOT NULL AS has_leaf,
           challenge.id IS NOT NULL AS has_challenge,
           private.event_id IS NOT NULL AS is_sealed,
           key.wrapped IS NOT NULL AS has_key,
           EXISTS (
               SELECT FROM erasures WHERE erasures.psu = event.psu AND confirmed_at > event.at - interval '1 minute'
           ) AND EXISTS (
               SELECT FROM audit_events AS said WHERE said.psu = event.psu AND said.type = 'payer.erased'
                 AND (said.txid, said.position) > (event.txid, event.position)
           ) AS is_erased
    FROM event
    LEFT JOIN audit_leaves AS leaf ON leaf.event_id = event.id
    LEFT JOIN challenges AS challenge ON challenge.id = event.challenge_id
    LEFT JOIN audit_private AS private ON private.event_id = event.id
    LEFT JOIN payer_keys AS key ON key.id = private.key_id
    ORDER BY event.txid, event.position
"""  # noqa: S608 - made of constants

_LEAFLESS = """
    SELECT event.id FROM audit_events AS event
    WHERE id = ANY($1::text[]) AND NOT EXISTS (SELECT FROM audit_leaves AS leaf WHERE leaf.event_id = event.id)
"""

_STRAY_ACCEPTANCES = """
    SELECT acceptance.challenge_id, acceptance.event_id, challenge.id IS NULL AS is_stray
    FROM (
        SELECT * FROM acceptances WHERE challenge_id > $1
          AND ($2::timestamptz IS NULL OR at >= $2) AND ($3::timestamptz IS NULL OR at < $3)
        ORDER BY challenge_id LIMIT $4
    ) AS acceptance
    LEFT JOIN challenges AS challenge ON challenge.id = acceptance.challenge_id
    ORDER BY acceptance.challenge_id
"""

_STRAY_PRIVATE = """
    SELECT private.event_id, event.id IS NULL AS is_stray, key.id IS NULL AS is_keyless,
           key.destroyed_at IS NOT NULL AS is_left_over
    FROM (SELECT * FROM audit_private WHERE event_id > $1 ORDER BY event_id LIMIT $2) AS private
    LEFT JOIN audit_events AS event ON event.id = private.event_id
    LEFT JOIN payer_keys AS key ON key.id = private.key_id
    ORDER BY private.event_id
"""

_EXTENT = """
    SELECT state.first_index, state.size,
           LEAST(state.first_index, (SELECT min(index) FROM audit_leaves)) AS begin,
           GREATEST(state.size, (SELECT max(index) + 1 FROM audit_leaves)) AS end,
           CASE WHEN state.first_index > 0 THEN (
               SELECT event.at FROM audit_leaves AS leaf JOIN audit_events AS event ON event.id = leaf.event_id
               WHERE leaf.index = state.first_index
           ) END AS first_at
    FROM log_state AS state
"""

_STRAY_LEAVES = """
    SELECT place.index, leaf.event_id FROM generate_series($1::bigint, $2::bigint - 1) AS place (index)
    LEFT JOIN audit_leaves AS leaf ON leaf.index = place.index
    LEFT JOIN audit_events AS event ON event.id = leaf.event_id
    WHERE event.id IS NULL
    ORDER BY place.index
"""


class LogExtent(NamedTuple):
    """Where the log begins and ends by its own word, where its leaves do, and when its first event was."""

    first_index: int
    size: int
    begin: int
    end: int
    first_at: datetime | None


class ReconcileStore:
    """Reads all tables that tell of challenges. A class because it holds the pool, see `connect_reader`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def challenges(self, span: Span, after: str) -> list[StoredChallenge]:
        """The challenges of a span of time behind an id, with all that is on record of each."""
        async with self._snapshot() as connection:
            rows = await connection.fetch(_CHALLENGES, after, span.since, span.until)
            return await _with_records(connection, rows)

    async def challenges_by_id(self, ids: Sequence[str]) -> list[StoredChallenge]:
        """These challenges, read anew."""
        async with self._snapshot() as connection:
            rows = await connection.fetch(f"{_CHALLENGE} WHERE id = ANY($1::text[]) ORDER BY id", list(ids))
            return await _with_records(connection, rows)

    async def events(self, span: Span, after: tuple[str, int]) -> list[StoredEvent]:
        """The events of a span of time behind a place, in the order of the log."""
        async with self._snapshot() as connection:
            rows = await connection.fetch(_EVENTS, *after, span.since, span.until)
        return [_event(row) for row in rows]

    async def leafless(self, ids: Sequence[str]) -> list[str]:
        """Those of the events that have no leaf."""
        async with self._snapshot() as connection:
            return [row["id"] for row in await connection.fetch(_LEAFLESS, list(ids))]

    async def acceptances(self, span: Span, after: str) -> list[tuple[str, str, bool]]:
        """Acceptances behind a challenge's id: challenge, event, and whether the challenge is not there."""
        async with self._snapshot() as connection:
            rows = await connection.fetch(_STRAY_ACCEPTANCES, after, span.since, span.until, LEAVES_AT_ONCE)
        return [(row[0], row[1], row[2]) for row in rows]

    async def private_values(self, after: str) -> list[asyncpg.Record]:
        """Sealed values behind an event's id: `event_id`, `is_stray`, `is_keyless`, `is_left_over`."""
        async with self._snapshot() as connection:
            return list(await connection.fetch(_STRAY_PRIVATE, after, LEAVES_AT_ONCE))

    async def extent(self) -> LogExtent:
        """Where the log begins and ends."""
        async with self._snapshot() as connection:
            row = await connection.fetchrow(_EXTENT)
        return LogExtent(*row) if row else LogExtent(0, 0, 0, 0, None)

    async def gaps(self, begin: int, end: int) -> list[tuple[int, str | None]]:
        """The indexes in a range that have no leaf (None), or a leaf whose event (its id) is not there."""
        async with self._snapshot() as connection:
            rows = await connection.fetch(_STRAY_LEAVES, begin, end)
        return [(row[0], row[1]) for row in rows]

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[Any]:
        try:
            async with (
                asyncio.timeout(_ANSWER_SECONDS),
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                yield connection
        except POSTGRES_AWAY as error:
            raise StoreUnavailable("PostgreSQL does not answer") from error


async def _with_records(connection: Any, rows: Sequence[asyncpg.Record]) -> list[StoredChallenge]:
    ids = [row["id"] for row in rows]
    leaves: dict[str, list[str]] = {one: [] for one in ids}
    for challenge, body in await connection.fetch(_EVENTS_OF, ids):
        leaves[challenge].append(body)
    accepted = dict(await connection.fetch(_ACCEPTANCES_OF, ids))
    return [
        StoredChallenge(
            id=row["id"],
            client=row["client_id"],
            psu=row["psu"],
            status=row["status"],
            packed=row["state"],
            leaves=leaves[row["id"]],
            accepted_by=accepted.get(row["id"]),
        )
        for row in rows
    ]


def _event(row: asyncpg.Record) -> StoredEvent:
    return StoredEvent(
        id=row["id"],
        at=row["at"],
        type=row["type"],
        client=row["client_id"],
        psu=row["psu"],
        challenge=row["challenge_id"],
        body=row["body"],
        place=(row["txid"], row["position"]),
        has_leaf=row["has_leaf"],
        has_challenge=row["has_challenge"],
        is_sealed=row["is_sealed"],
        has_key=row["has_key"],
        is_erased=row["is_erased"],
    )
