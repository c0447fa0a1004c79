"""What the desk counts and lists, in PostgreSQL: the statements, and nothing else."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import asyncpg

from sca_service.audit.listing.postgres_store import EventFilter, EventLists, EventRow
from sca_service.console.filters import Filters
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.postgres import POSTGRES_AWAY, in_time

_COUNT_SECONDS = 20.0
"""A day of a million events is counted in less; nobody waits for it."""

_COUNTS = """
    SELECT (at AT TIME ZONE 'UTC')::date AS day, type,
           CASE type
               WHEN 'challenge.answered' THEN body::jsonb ->> 'outcome'
               WHEN 'challenge.issued' THEN body::jsonb ->> 'sca'
               WHEN 'delivery.attempted' THEN body::jsonb ->> 'channel'
               WHEN 'delivery.settled' THEN concat_ws(' ', body::jsonb ->> 'channel', body::jsonb ->> 'status')
               WHEN 'exemption.applied' THEN body::jsonb ->> 'article'
               ELSE ''
           END AS word,
           count(*) AS number
    FROM audit_events
    WHERE at >= $1 AND at < $2
      AND (type = ANY($3::text[]) OR type LIKE 'exemption.%' OR type LIKE 'fraud.%')
    GROUP BY 1, 2, 3
"""
_COUNTED = (
    *(
        "challenge.answered",
        "challenge.issued",
        "challenge.expired",
        "challenge.declined",
        "challenge.refused",
    ),
    *("challenge.cancelled", "challenge.undeliverable", "payer.blocked"),
    *("delivery.attempted", "delivery.settled"),
)

# A loose scan of the index on type: as many look-ups as there are types, however many events there are.
_TYPES = """
    WITH RECURSIVE known AS (
        (SELECT type FROM audit_events ORDER BY type LIMIT 1)
        UNION ALL
        SELECT (SELECT type FROM audit_events WHERE type > known.type ORDER BY type LIMIT 1)
        FROM known WHERE known.type IS NOT NULL
    )
    SELECT type FROM known WHERE type IS NOT NULL
"""

_KEYS = (
    "SELECT verifier_key, first_size, first_used_at FROM log_keys ORDER BY first_used_at DESC, verifier_key"
)


@dataclass(frozen=True, slots=True)
class Count:
    """How many events of one type said one word on one day (UTC)."""

    day: date
    kind: str
    word: str
    number: int


@dataclass(frozen=True, slots=True)
class LogKey:
    """A key that checkpoints are or were signed with."""

    verifier_key: str
    first_size: int
    first_used_at: datetime


class DeskStore:
    """Counts and lists. A class because it holds the pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._lists = EventLists(pool)

    async def newest(self, wanted: Filters, payers: Sequence[str] | None, *, most: int) -> list[EventRow]:
        """Events, the newest first, at most `most`. Raises StoreUnavailable."""
        fitting = EventFilter(
            payers=None if payers is None else list(payers),
            challenge=wanted.challenge,
            kind=wanted.kind,
            since=wanted.since,
            until=wanted.until,
            client=wanted.client,
            after=wanted.cursor,
        )
        return await self._lists.page(fitting, most=most, newest_first=True)

    async def types(self) -> list[str]:
        """Every type of event there is, in alphabetical order. Raises StoreUnavailable."""
        return [row["type"] for row in await in_time(self._pool.fetch(_TYPES))]

    async def keys(self) -> list[LogKey]:
        """The keys that checkpoints were ever signed with, the newest first. Raises StoreUnavailable."""
        rows = await in_time(self._pool.fetch(_KEYS))
        return [LogKey(row["verifier_key"], row["first_size"], row["first_used_at"]) for row in rows]

    async def counts(self, since: datetime, until: datetime) -> list[Count]:
        """How many events there were, by day. Raises StoreUnavailable, also when counting takes too long."""
        try:
            async with asyncio.timeout(_COUNT_SECONDS):
                rows = await self._pool.fetch(_COUNTS, since, until, list(_COUNTED), timeout=_COUNT_SECONDS)
        except POSTGRES_AWAY as error:
            raise StoreUnavailable("the events cannot be counted in time") from error
        return [Count(row["day"], row["type"], row["word"] or "", row["number"]) for row in rows]
