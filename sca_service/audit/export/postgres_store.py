"""The leaves of the log for an export: chunk by chunk, each in a statement of its own, so that nothing is held open."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from sca_service.audit.export.model import ExportFilter, Extent, LeafRow
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.postgres import POSTGRES_AWAY
from sca_service.kernel.primary import Primary

LEAVES_AT_ONCE = 5_000
_STATEMENT_SECONDS = 30
_ANSWER_SECONDS = 40
_CONNECT_SECONDS = 5

_READING = {
    "application_name": "sca reader",
    "timezone": "UTC",
    "default_transaction_read_only": "on",
    "statement_timeout": f"{_STATEMENT_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{_STATEMENT_SECONDS}s",
    # Each statement looks up a few thousand rows by their keys, however long the log is and however old its statistics.
    "plan_cache_mode": "force_custom_plan",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}

_EXTENT = """
    SELECT COALESCE(min(index), 0) AS first, COALESCE(max(index) + 1, 0) AS size FROM audit_leaves
"""

_WANTED = """
      ($1::text[] IS NULL OR event.psu = ANY($1))
      AND ($2::text IS NULL OR event.challenge_id = $2)
      AND ($3::text IS NULL OR event.type = $3)
      AND ($4::text IS NULL OR event.client_id = $4)
      AND ($5::timestamptz IS NULL OR event.at >= $5)
      AND ($6::timestamptz IS NULL OR event.at < $6)
"""

# The leaves of a range of indexes, and of their events those that are wanted.
_BY_INDEX = f"""
    WITH leaf AS MATERIALIZED (SELECT index, event_id FROM audit_leaves WHERE index >= $7 AND index < $8)
    SELECT leaf.index, event.body FROM leaf JOIN audit_events AS event ON event.id = leaf.event_id
    WHERE {_WANTED} ORDER BY leaf.index
"""  # noqa: S608 - made of constants

# The events of one challenge or payer, who have few, and of them those whose index comes next.
_BY_SUBJECT = f"""
    WITH event AS MATERIALIZED (SELECT event.id, event.body FROM audit_events AS event WHERE {_WANTED})
    SELECT leaf.index, event.body FROM event JOIN audit_leaves AS leaf ON leaf.event_id = event.id
    WHERE leaf.index >= $7 AND leaf.index < $8 ORDER BY leaf.index LIMIT $9
"""  # noqa: S608 - made of constants

_ON_RECORD = """
    SELECT $1::text IS NULL OR EXISTS (SELECT FROM audit_events WHERE challenge_id = $1) AS challenge,
           $2::text IS NULL OR EXISTS (SELECT FROM audit_events WHERE type = $2) AS type,
           $3::text IS NULL OR EXISTS (SELECT FROM clients WHERE id = $3) AS client
"""

_PAYERS = """
    SELECT payer.psu FROM unnest($1::text[]) AS payer (psu)
    WHERE EXISTS (SELECT FROM audit_events AS event WHERE event.psu = payer.psu)
"""


async def connect_reader(primary: Primary | str, *, most_connections: int) -> asyncpg.Pool:
    """A pool that cannot write and has time to read much. It connects when it is first asked."""
    primary = Primary(primary) if isinstance(primary, str) else primary
    async with _reading():
        pool = await asyncpg.create_pool(
            connect=primary.connect,
            min_size=0,
            max_size=most_connections,
            timeout=_CONNECT_SECONDS,
            command_timeout=_STATEMENT_SECONDS,
            server_settings=_READING,
        )
    primary.watch(pool)
    return pool


class LeafStore:
    """Reads `audit_leaves` with `audit_events`. A class because it holds the pool."""

    def __init__(self, pool: asyncpg.Pool, *, leaves_at_once: int = LEAVES_AT_ONCE) -> None:
        self._pool = pool
        self._leaves_at_once = leaves_at_once

    async def extent(self) -> Extent:
        """What has an index now. Raises StoreUnavailable."""
        rows = await self._fetch(_EXTENT)
        return Extent(rows[0]["first"], rows[0]["size"])

    async def unknown(self, wanted: ExportFilter) -> list[str]:
        """The names of the filters that name something of which nothing is on record. Raises StoreUnavailable."""
        (found,) = await self._fetch(_ON_RECORD, wanted.challenge, wanted.kind, wanted.client)
        unknown = [name for name, is_known in found.items() if not is_known]
        return [*unknown, "psu"] if wanted.payers == () else unknown

    async def payers_on_record(self, pseudonyms: Sequence[str]) -> tuple[str, ...]:
        """Those of the pseudonyms that events name. Raises StoreUnavailable."""
        return tuple(row["psu"] for row in await self._fetch(_PAYERS, list(pseudonyms)))

    async def client_ids(self) -> list[str]:
        """The ids of all clients there have ever been. Raises StoreUnavailable."""
        return [row["id"] for row in await self._fetch("SELECT id FROM clients")]

    async def read(self, wanted: ExportFilter, extent: Extent) -> tuple[Sequence[LeafRow], int]:
        """The first of the wanted leaves in the extent, and the index from which to read on.

        Raises StoreUnavailable.
        """
        filters = (
            None if wanted.payers is None else list(wanted.payers),
            wanted.challenge,
            wanted.kind,
            wanted.client,
            wanted.since,
            wanted.until,
        )
        most = self._leaves_at_once
        if wanted.challenge is None and wanted.payers is None:
            end = min(extent.first + most, extent.size)
            found = await self._fetch(_BY_INDEX, *filters, extent.first, end)
        else:
            found = await self._fetch(_BY_SUBJECT, *filters, extent.first, extent.size, most)
            end = found[-1]["index"] + 1 if len(found) == most else extent.size
        return [(row[0], row[1]) for row in found], end

    async def _fetch(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        async with _reading(), asyncio.timeout(_ANSWER_SECONDS):
            return await self._pool.fetch(statement, *arguments)


@asynccontextmanager
async def _reading() -> AsyncIterator[None]:
    try:
        yield
    except POSTGRES_AWAY as error:
        raise StoreUnavailable("PostgreSQL does not answer") from error
