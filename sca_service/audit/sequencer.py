"""The log role: gives every committed event its index, in an order that nothing can slip into later.

Transactions commit in another order than they begin. An event may be sequenced once no transaction that began before
its own is still under way: PostgreSQL's snapshot horizon says so, and no clock is asked. One leader at a time, by an
advisory lock; when it goes away another takes the lock and events have waited in order.
"""

import asyncio

import asyncpg
import structlog

from sca_service.kernel.connections import POSTGRES_AWAY
from sca_service.kernel.telemetry import EVENTS_SEQUENCED, SEQUENCER_LEADER

_LEADER_LOCK = 0x5CA_106
_STATEMENT_DEADLINE_SECONDS = 30

# One statement: the rows beyond the last leaf, up to the horizon, numbered on from it.
_SEQUENCE = """
    WITH last AS (
        SELECT COALESCE(max(index), -1) AS index FROM audit_leaves
    ), place AS (
        SELECT event.txid, event.position
        FROM audit_leaves AS leaf JOIN audit_events AS event ON event.id = leaf.event_id, last
        WHERE leaf.index = last.index
        UNION ALL SELECT '0'::xid8, 0 FROM last WHERE last.index = -1
    ), next AS (
        SELECT event.id, event.txid, event.position
        FROM audit_events AS event, place
        WHERE (event.txid, event.position) > (place.txid, place.position)
          AND event.txid < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY event.txid, event.position
        LIMIT $1
    )
    INSERT INTO audit_leaves (index, event_id)
    SELECT last.index + row_number() OVER (ORDER BY next.txid, next.position), next.id FROM next, last
"""

log = structlog.get_logger()


class Sequencer:
    """Runs as leader when it can, and waits for the leadership when it cannot."""

    def __init__(self, pool: asyncpg.Pool, *, pause_seconds: float = 0.1, most_per_round: int = 5000) -> None:
        self._pool = pool
        self._pause_seconds = pause_seconds
        self._most_per_round = most_per_round

    async def run(self, stop: asyncio.Event) -> None:
        """Sequence until `stop` is set; a store that is away is waited for."""
        while not stop.is_set():
            try:
                async with self._pool.acquire() as connection:
                    await self._lead(connection, stop)
            except POSTGRES_AWAY as error:
                log.warning("sequencer.waiting", reason=type(error).__name__)
            finally:
                SEQUENCER_LEADER.set(0)
            await _pause(stop, self._pause_seconds * 5)

    async def _lead(self, connection: asyncpg.pool.PoolConnectionProxy, stop: asyncio.Event) -> None:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LEADER_LOCK):
            return
        SEQUENCER_LEADER.set(1)
        log.info("sequencer.leading")
        try:
            while not stop.is_set():
                added = await self.sequence_once(connection)
                if added < self._most_per_round:
                    await _pause(stop, self._pause_seconds)
        finally:
            if not connection.is_closed():
                await connection.execute("SELECT pg_advisory_unlock($1)", _LEADER_LOCK)

    async def sequence_once(self, connection: asyncpg.pool.PoolConnectionProxy) -> int:
        """Give the next events their index. Returns how many; raises asyncpg errors when the store is away."""
        tag = await connection.execute(_SEQUENCE, self._most_per_round, timeout=_STATEMENT_DEADLINE_SECONDS)
        added = int(tag.rsplit(" ", 1)[-1])
        EVENTS_SEQUENCED.inc(added)
        return added


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
