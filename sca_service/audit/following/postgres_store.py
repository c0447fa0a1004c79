"""The cursors of followers in PostgreSQL, and the events behind them. The statements, and nothing else."""

from dataclasses import dataclass

import asyncpg

from sca_service.audit.following.model import LoggedEvent, LogUnreadable

Pool = asyncpg.Pool
Connection = asyncpg.pool.PoolConnectionProxy

# The row of the log's state is held meanwhile, so that nothing is pruned between the look and the insertion.
_REGISTER = """
    INSERT INTO followers (name, next_index)
    SELECT $1, CASE WHEN $2 THEN state.first_index ELSE state.size END FROM log_state AS state FOR SHARE OF state
    ON CONFLICT (name) DO NOTHING
"""

_WAITING = """
    SELECT state.size - follower.next_index FROM followers AS follower, log_state AS state WHERE follower.name = $1
"""

# Whoever holds the row is the one that reads; another process finds nothing to do and looks again later.
_TAKE = """
    SELECT next_index, (SELECT size FROM log_state) AS size FROM followers WHERE name = $1
    FOR UPDATE OF followers SKIP LOCKED
"""

_NEXT = """
    SELECT leaf.index, event.body
    FROM audit_leaves AS leaf JOIN audit_events AS event ON event.id = leaf.event_id
    WHERE leaf.index >= $1 AND leaf.index < $1 + $2::bigint
    ORDER BY leaf.index
"""

_ADVANCE = "UPDATE followers SET next_index = $2, moved_at = now() WHERE name = $1"


@dataclass(frozen=True, slots=True)
class Portion:
    """The events whose turn it is, and the index behind them."""

    events: tuple[LoggedEvent, ...]
    next_index: int


async def register(pool: Pool, name: str, *, from_beginning: bool) -> None:
    """Let a follower begin at the first entry that is kept, or behind the last; one that is known goes on."""
    await pool.execute(_REGISTER, name, from_beginning)


async def waiting(pool: Pool, name: str) -> int:
    """How many events on the log a follower has yet to read."""
    return int(await pool.fetchval(_WAITING, name) or 0)


async def take(connection: Connection, name: str, *, most: int) -> Portion | None:
    """The next events of a follower, which is held until the transaction ends; None while another holds it.

    Raises LogUnreadable when one of them is gone.
    """
    cursor = await connection.fetchrow(_TAKE, name)
    if cursor is None:
        return None
    start = cursor["next_index"]
    rows = await connection.fetch(_NEXT, start, most)
    # What the log had before it was asked is there, and nothing between the first and the last is missing.
    if len(rows) < min(cursor["size"] - start, most) or any(
        row["index"] != start + place for place, row in enumerate(rows)
    ):
        raise LogUnreadable("the log lacks an entry that a follower has not read")
    return Portion(tuple(LoggedEvent.read(row["index"], row["body"]) for row in rows), start + len(rows))


async def advance(connection: Connection, name: str, next_index: int) -> None:
    """Note how far a follower has come, in the transaction of what it wrote."""
    await connection.execute(_ADVANCE, name, next_index)


async def least_index(connection: Connection) -> int | None:
    """The least index that some follower has yet to read; None when nobody follows."""
    index: int | None = await connection.fetchval("SELECT min(next_index) FROM followers")
    return index
