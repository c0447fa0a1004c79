"""Sealed records in PostgreSQL: counted by version, found, and exchanged; the statements, and nothing else.

Tables are walked in portions of their primary key, so that no statement takes long however many records there are.
"""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import asyncpg

from sca_service.custody.model import Place, SealedRecord
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.postgres import in_time

_COUNTED_AT_ONCE = 5_000
_READ_AT_ONCE = 500
_TURN = 7_253_021_116_940_001
"""The advisory lock of whoever seals anew."""


@dataclass(frozen=True, slots=True)
class _Table:
    """One table: its column with the text, in SQL the record's id, and the first four characters of the text."""

    column: str
    before_all: str | int = ""
    record_id: str = "id"
    head: str = "left(held, 4)"
    is_empty: str = "COALESCE(held, '') = ''"


# A challenge's text stands in the JSON within its packed state. `encode` shows other bytes as they are or escaped.
_IN_STATE = "encode(substring(held FROM position('\"sealed\":\"'::bytea IN held) + 10 FOR 4), 'escape')"

_TABLES = {
    Place.AUTHENTICATORS: _Table("sealed"),
    Place.PUSH_SUBSCRIPTIONS: _Table("address"),
    Place.PAYER_KEYS: _Table("wrapped", before_all=0, record_id="'payer key ' || psu"),
    Place.TRUSTED_BENEFICIARIES: _Table("sealed"),
    Place.ALERTS: _Table("sealed"),
    Place.RISK_MARKS: _Table("sealed"),
    Place.WEBHOOK_ENDPOINTS: _Table("sealed"),
    Place.CARDS: _Table("sealed", before_all=0, record_id="'card ' || replace(card::text, '-', '')"),
    Place.UPCOMING_CHARGES: _Table("sealed"),
    Place.CARD_CHARGES: _Table("sealed"),
    Place.ALERT_LINKS: _Table("url"),
    Place.CHALLENGES: _Table("state", head=_IN_STATE, is_empty="false"),
}


def _version(table: _Table) -> str:
    """SQL for the version of what is `held`: NULL where nothing is, 0 where it cannot be read."""
    return f"""
        CASE WHEN {table.is_empty} THEN NULL
             WHEN {table.head} ~ '^[A-Za-z0-9_-]{{4}}$'
             THEN get_byte(decode(translate({table.head}, '-_', '+/'), 'base64'), 0)
             ELSE 0 END
    """


def _count(place: Place) -> str:
    table = _TABLES[place]
    return f"""
        WITH portion AS MATERIALIZED (
            SELECT id, {table.column} AS held FROM {place} WHERE id > $1 ORDER BY id LIMIT {_COUNTED_AT_ONCE}
        )
        SELECT {_version(table)} AS version, count(*) AS records, (SELECT max(id) FROM portion) AS last
        FROM portion GROUP BY 1
    """  # noqa: S608 - made of what stands above


def _find(place: Place) -> str:
    table = _TABLES[place]
    return f"""
        WITH portion AS MATERIALIZED (
            SELECT id, {table.record_id} AS record_id, {table.column} AS held
            FROM {place} WHERE id > $1 ORDER BY id LIMIT {_READ_AT_ONCE}
        )
        SELECT edge.last, found.id, found.record_id, found.held
        FROM (SELECT max(id) AS last FROM portion) AS edge
        LEFT JOIN (SELECT * FROM portion WHERE {_version(table)} = ANY($2::int[])) AS found ON true
        ORDER BY found.id
    """  # noqa: S608 - made of what stands above


def _exchange(place: Place) -> str:
    """Only over what was read: what changed meanwhile, was revoked, erased or destroyed, stays as it is now."""
    column = _TABLES[place].column
    return f"UPDATE {place} SET {column} = $3 WHERE id = $1 AND {column} = $2"  # noqa: S608 - as above


_COUNT = {place: _count(place) for place in _TABLES}
_FIND = {place: _find(place) for place in _TABLES}
_EXCHANGE = {place: _exchange(place) for place in _TABLES}


@dataclass(frozen=True, slots=True)
class Portion:
    """Records found in a portion of a table, and the key behind which to go on; None at the table's end."""

    records: tuple[SealedRecord, ...]
    last: str | int | None


class SealedStore:
    """The tables whose records the keyring seals. A class because it holds the pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def uses(self, place: Place) -> dict[int, int]:
        """How many records of a table lie under each version. Raises StoreUnavailable."""
        counted: Counter[int] = Counter()
        last: str | int | None = _TABLES[place].before_all
        while last is not None:
            rows = await in_time(self._pool.fetch(_COUNT[place], last))
            counted.update({row["version"]: row["records"] for row in rows if row["version"] is not None})
            last = rows[0]["last"] if rows else None
        return dict(counted)

    async def find(self, place: Place, versions: Sequence[int], *, after: str | int | None = None) -> Portion:
        """What lies under these versions in the portion behind a key, or in the first. Raises StoreUnavailable."""
        start = _TABLES[place].before_all if after is None else after
        rows = await in_time(self._pool.fetch(_FIND[place], start, list(versions)))
        records = tuple(
            SealedRecord(row["id"], row["record_id"], row["held"]) for row in rows if row["id"] is not None
        )
        return Portion(records, rows[0]["last"])

    async def exchange(self, place: Place, record: SealedRecord, held: str | bytes) -> bool:
        """Keep `held` instead, unless the record changed since it was read; whether it did. Raises StoreUnavailable.

        One record in one transaction: commits of the log lock payers' keys in an order of their own.
        """
        tag: str = await in_time(self._pool.execute(_EXCHANGE[place], record.key, record.held, held))
        return tag == "UPDATE 1"

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[bool]:
        """Whether this process is the one that seals anew; it stays so until the end. Raises StoreUnavailable.

        It only saves work: two at once do no harm. The lock ends with the connection too, if this process does.
        """

        async def take() -> tuple[asyncpg.pool.PoolConnectionProxy, bool]:
            connection = await self._pool.acquire()
            try:
                return connection, await connection.fetchval("SELECT pg_try_advisory_lock($1)", _TURN)
            except BaseException:
                await self._pool.release(connection)
                raise

        connection, is_ours = await in_time(take())
        try:
            yield is_ours
        finally:
            if is_ours:
                await self._end_turn(connection)
            await self._pool.release(connection)

    async def _end_turn(self, connection: asyncpg.pool.PoolConnectionProxy) -> None:
        """The pool resets nothing: a lock that cannot be given back goes with its connection."""
        try:
            await in_time(connection.execute("SELECT pg_advisory_unlock($1)", _TURN))
        except (StoreUnavailable, asyncpg.PostgresError, asyncpg.InterfaceError):
            with suppress(asyncpg.InterfaceError):  # it is closed already
                connection.terminate()
