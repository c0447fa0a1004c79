"""The allow-list in PostgreSQL: each change and the event that tells of it in one commit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import asyncpg

from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import insert_events
from sca_service.kernel.postgres import in_time
from sca_service.limits.pumping.model import DAY_SECONDS, Entry, Subject
from sca_service.policy.pumping import PumpingScope

_PUT = """
    INSERT INTO pumping_allowances (id, scope, subject, why, since, until)
    SELECT $1, $2, $3, $4, now, now + $5::bigint * interval '1 second'
    FROM (SELECT date_trunc('second', clock_timestamp()) AS now) AS clock
    ON CONFLICT (scope, subject) DO UPDATE
    SET id = excluded.id, why = excluded.why, since = excluded.since, until = excluded.until
    RETURNING *
"""
_TAKE_OUT = "DELETE FROM pumping_allowances WHERE id = $1 AND until > clock_timestamp() RETURNING *"
_FORGET = "DELETE FROM pumping_allowances WHERE until <= clock_timestamp()"
_IN_FORCE = """
    SELECT *, ceil(extract(epoch FROM until - clock_timestamp()))::bigint AS seconds_left
    FROM pumping_allowances WHERE until > clock_timestamp() ORDER BY until DESC, id LIMIT $1 OFFSET $2
"""


@dataclass(frozen=True, slots=True)
class Allowed:
    """An entry that is in force, for so long still."""

    entry: Entry
    seconds_left: int


class AllowListStore:
    """The table `pumping_allowances`. A class because it holds the pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def put(self, subject: Subject, *, entry_id: str, why: str, days: int, event: AuditEvent) -> Entry:
        """Allow a subject for so many days; what stood there of it gives way. Raises StoreUnavailable."""
        columns = (entry_id, subject.scope, subject.name, why, days * DAY_SECONDS)
        return await in_time(self._put(columns, event))

    async def take_out(self, entry_id: str, event_of: Callable[[Entry], AuditEvent]) -> Entry | None:
        """Take out what is in force under an id; None when nothing is. Raises StoreUnavailable."""
        return await in_time(self._take_out(entry_id, event_of))

    async def in_force(self, *, most: int, skip: int = 0) -> Sequence[Allowed]:
        """What is in force, what ends last first. Raises StoreUnavailable."""
        rows = await in_time(self._pool.fetch(_IN_FORCE, most, skip))
        return [Allowed(_entry(row), row["seconds_left"]) for row in rows]

    async def forget(self) -> None:
        """Delete what is over. Raises StoreUnavailable."""
        await in_time(self._pool.execute(_FORGET))

    async def _put(self, columns: tuple[object, ...], event: AuditEvent) -> Entry:
        async with self._pool.acquire() as connection, connection.transaction():
            (row,) = await connection.fetch(_PUT, *columns)
            await insert_events(connection, [event])
            return _entry(row)

    async def _take_out(self, entry_id: str, event_of: Callable[[Entry], AuditEvent]) -> Entry | None:
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(_TAKE_OUT, entry_id)
            if row is None:
                return None
            entry = _entry(row)
            await insert_events(connection, [event_of(entry)])
            return entry


def _entry(row: asyncpg.Record) -> Entry:
    return Entry(
        id=row["id"],
        scope=PumpingScope(row["scope"]),
        subject=row["subject"],
        why=row["why"],
        since=int(row["since"].timestamp()),
        until=int(row["until"].timestamp()),
    )
