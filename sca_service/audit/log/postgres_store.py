"""The log in PostgreSQL: its state, tiles, checkpoints and entries. The statements, and nothing else."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from sca_service.audit.log.tiles import WIDTH, TileId

Pool = asyncpg.Pool
Connection = asyncpg.pool.PoolConnectionProxy
Place = tuple[str, int]
"""Where an event stands in the order of the log: its transaction, and its position."""

_LEADER_LOCK = 0x5CA_106

_STATE = "SELECT size, first_index, txid::text AS txid, position FROM log_state"

# What lies below the horizon is complete: no transaction that began before these is still under way (decision 8).
_NEXT = """
    SELECT event.id, event.body, event.txid::text AS txid, event.position FROM audit_events AS event
    WHERE (event.txid, event.position) > ($1::text::xid8, $2::bigint)
      AND event.txid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY event.txid, event.position
    LIMIT $3
"""

# A restore by dump begins counting transactions anew: then what comes would never stand behind what was.
_IS_AHEAD = "SELECT txid >= pg_snapshot_xmax(pg_current_snapshot()) FROM log_state"

_WAITING_SECONDS = """
    SELECT extract(epoch FROM clock_timestamp() - event.at)::float8 FROM audit_events AS event
    WHERE (event.txid, event.position) > ($1::text::xid8, $2::bigint)
    ORDER BY event.txid, event.position LIMIT 1
"""

_TILES = """
    SELECT tile.level, tile.index, tile.hashes
    FROM log_tiles AS tile JOIN unnest($1::smallint[], $2::bigint[]) AS wanted (level, index) USING (level, index)
"""

_SAVE_TILES = """
    INSERT INTO log_tiles (level, index, hashes) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])
    ON CONFLICT (level, index) DO UPDATE SET hashes = EXCLUDED.hashes
"""

_SAVE_STATE = "UPDATE log_state SET size = $1, txid = $2::text::xid8, position = $3"

_ADD_CHECKPOINT = """
    INSERT INTO log_checkpoints (size, root, note, published_at) VALUES ($1, $2, $3, CASE WHEN $4 THEN now() END)
    ON CONFLICT (size) DO NOTHING
"""

_PUBLISHED = """
    SELECT size, root, note, made_at FROM log_checkpoints
    WHERE published_at IS NOT NULL ORDER BY size DESC LIMIT 1
"""

_PUBLISHED_AGE = """
    SELECT extract(epoch FROM clock_timestamp() - made_at)::float8 FROM log_checkpoints
    WHERE published_at IS NOT NULL ORDER BY size DESC LIMIT 1
"""

_UNPUBLISHED = """
    SELECT size, root, note, made_at FROM log_checkpoints
    WHERE published_at IS NULL
      AND size > COALESCE((SELECT max(size) FROM log_checkpoints WHERE published_at IS NOT NULL), -1)
    ORDER BY size DESC LIMIT 1
"""

_PUBLISH = """
    UPDATE log_checkpoints SET note = $2, published_at = now() WHERE size = $1 AND published_at IS NULL
"""

_ADD_KEYS = """
    INSERT INTO log_keys (verifier_key, first_size) SELECT unnest($1::text[]), $2 ON CONFLICT DO NOTHING
"""

_ENTRIES = """
    SELECT event.body FROM audit_leaves AS leaf JOIN audit_events AS event ON event.id = leaf.event_id
    WHERE leaf.index >= $1 AND leaf.index < $2
    ORDER BY leaf.index
"""

# Whole bundles and how old they are: all of their entries are over, or the bundle stays. By what the leaves say of
# their time, which is signed; the column beside them is not.
_BUNDLES = """
    SELECT leaf.index / $4 AS bundle, count(*) AS entries,
           bool_and(
               to_timestamp((event.body::jsonb->>'at_ms')::bigint / 1000.0) < now() - make_interval(years => $3)
           ) AS is_over
    FROM audit_leaves AS leaf JOIN audit_events AS event ON event.id = leaf.event_id
    WHERE leaf.index >= $1 AND leaf.index < $2
    GROUP BY bundle
    ORDER BY bundle
"""

_PRUNE_PRIVATE = """
    DELETE FROM audit_private AS private USING audit_leaves AS leaf
    WHERE private.event_id = leaf.event_id AND leaf.index < $1
"""

_PRUNE_EVENTS = """
    WITH pruned AS (
        DELETE FROM audit_events AS event USING audit_leaves AS leaf
        WHERE event.id = leaf.event_id AND leaf.index < $1
        RETURNING event.challenge_id
    )
    SELECT DISTINCT challenge_id FROM pruned WHERE challenge_id IS NOT NULL
"""

_PRUNE = (
    "DELETE FROM audit_leaves WHERE index < $1",
    "DELETE FROM log_tiles WHERE level = 0 AND index < $1 / 256",
    "UPDATE log_state SET first_index = $1",
)

# A challenge goes with the last of its events.
_PRUNE_CHALLENGES = (
    """
    DELETE FROM acceptances AS acceptance WHERE challenge_id = ANY($1::text[])
      AND NOT EXISTS (SELECT FROM audit_events AS event WHERE event.challenge_id = acceptance.challenge_id)
    """,
    """
    DELETE FROM challenges AS challenge WHERE id = ANY($1::text[])
      AND NOT EXISTS (SELECT FROM audit_events AS event WHERE event.challenge_id = challenge.id)
    """,
)

# After a day the newest of each hour is left; the newest of all always is.
_THIN = """
    DELETE FROM log_checkpoints
    WHERE made_at < now() - interval '1 day' AND size < (SELECT size FROM log_state) AND size NOT IN (
        SELECT max(size) FROM log_checkpoints WHERE published_at IS NOT NULL GROUP BY date_trunc('hour', made_at)
    )
"""

_LEAVES = "SELECT event_id, index FROM audit_leaves WHERE event_id = ANY($1::text[])"


@dataclass(frozen=True, slots=True)
class LogState:
    """How far the log has come: its size, the least index whose entry is kept, and the place of its last event."""

    size: int
    first_index: int
    place: Place


@dataclass(frozen=True, slots=True)
class NextEvent:
    """An event that has no index yet: its leaf, and its place in the order."""

    id: str
    body: str
    place: Place


@dataclass(frozen=True, slots=True)
class PublishedCheckpoint:
    """A tree that the log stands by: `note` is the signed checkpoint with the lines of its witnesses."""

    size: int
    root: bytes
    note: str
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Bundle:
    """One bundle: its index, how many entries it has, and whether all of them are older than they have to be kept."""

    index: int
    entries: int
    is_over: bool


async def try_lead(connection: Connection) -> bool:
    """Take the leadership, unless another has it; it is held by the connection."""
    return bool(await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LEADER_LOCK))


async def is_ahead(connection: Connection) -> bool:
    """Whether the log has seen transactions that this server has yet to begin: it is not the server of before."""
    return bool(await connection.fetchval(_IS_AHEAD))


async def waiting_seconds(connection: Connection, place: Place) -> float:
    """How long the oldest event behind a place has waited for its index; 0 when none does."""
    return float(await connection.fetchval(_WAITING_SECONDS, *place) or 0)


async def stop_leading(connection: Connection) -> None:
    """Give the leadership up."""
    await connection.execute("SELECT pg_advisory_unlock($1)", _LEADER_LOCK)


async def state(connection: Connection) -> LogState:
    """How far the log has come."""
    return _state(await connection.fetchrow(_STATE))


async def lock_state(connection: Connection) -> LogState:
    """The same, held until the transaction ends: nobody else extends or prunes the log meanwhile."""
    return _state(await connection.fetchrow(f"{_STATE} FOR UPDATE"))


async def next_events(connection: Connection, after: Place, *, most: int) -> list[NextEvent]:
    """The events whose turn it is, in the order of the log."""
    rows = await connection.fetch(_NEXT, *after, most)
    return [NextEvent(row["id"], row["body"], (row["txid"], row["position"])) for row in rows]


async def tiles(connection: Pool | Connection, wanted: Collection[TileId]) -> dict[TileId, bytes]:
    """Those of the wanted tiles that there are, in their widest form."""
    if not wanted:
        return {}
    rows = await connection.fetch(_TILES, [tile.level for tile in wanted], [tile.index for tile in wanted])
    return {TileId(row["level"], row["index"]): row["hashes"] for row in rows}


async def root_at(connection: Connection, size: int) -> bytes | None:
    """The root that was signed for a size, or None when none was."""
    root: bytes | None = await connection.fetchval("SELECT root FROM log_checkpoints WHERE size = $1", size)
    return root


async def add_leaves(connection: Connection, first_index: int, event_ids: Iterable[str]) -> None:
    """Give events their indexes, from `first_index` on. Raises asyncpg.UniqueViolationError when one has one."""
    await connection.copy_records_to_table(
        "audit_leaves", columns=("index", "event_id"), records=enumerate(event_ids, start=first_index)
    )


async def save_tiles(connection: Connection, grown: Mapping[TileId, bytes]) -> None:
    """Keep tiles that grew."""
    await connection.execute(
        _SAVE_TILES, [tile.level for tile in grown], [tile.index for tile in grown], list(grown.values())
    )


async def save_state(connection: Connection, size: int, place: Place) -> None:
    """Note how far the log has come."""
    await connection.execute(_SAVE_STATE, size, *place)


async def add_checkpoint(connection: Connection, size: int, root: bytes, note: str, *, publish: bool) -> None:
    """Keep a signed checkpoint; one of that size that is there stays as it is."""
    await connection.execute(_ADD_CHECKPOINT, size, root, note, publish)


async def note_at(connection: Connection, size: int) -> str:
    """The signed note of a size that was signed."""
    note: str = await connection.fetchval("SELECT note FROM log_checkpoints WHERE size = $1", size)
    return note


async def save_note(connection: Connection, size: int, note: str) -> None:
    """Replace the note of a size by one with more signatures, or under another origin."""
    await connection.execute("UPDATE log_checkpoints SET note = $2 WHERE size = $1", size, note)


async def add_keys(connection: Connection, verifier_keys: Sequence[str], size: int) -> None:
    """Note from which size on these keys sign; those that are known stay as they are."""
    await connection.execute(_ADD_KEYS, verifier_keys, size)


async def published(connection: Pool | Connection) -> PublishedCheckpoint | None:
    """The newest checkpoint that is out, or None before the first."""
    return _checkpoint(await connection.fetchrow(_PUBLISHED))


async def unpublished(pool: Pool) -> PublishedCheckpoint | None:
    """The newest checkpoint that waits for its witnesses and is newer than what is out; None when there is none."""
    return _checkpoint(await pool.fetchrow(_UNPUBLISHED))


async def publish(pool: Pool, size: int, note: str) -> None:
    """Let a checkpoint out, with the lines of its witnesses in `note`."""
    await pool.execute(_PUBLISH, size, note)


async def published_age_seconds(connection: Connection) -> float | None:
    """How long ago the newest checkpoint that is out was made, by the database's clock; None before the first."""
    age: float | None = await connection.fetchval(_PUBLISHED_AGE)
    return age


async def entries(pool: Pool, index: int, width: int) -> list[str]:
    """The first `width` leaves of a bundle; fewer when they are not there (any more)."""
    rows = await pool.fetch(_ENTRIES, index * WIDTH, index * WIDTH + width)
    return [row["body"] for row in rows]


async def leaves(pool: Pool, event_ids: Sequence[str]) -> dict[str, int]:
    """The index of each of these events that has one."""
    rows = await pool.fetch(_LEAVES, event_ids)
    return {row["event_id"]: row["index"] for row in rows}


async def has_leaf(pool: Pool, index: int) -> bool:
    """Whether the entry at an index is kept."""
    return bool(await pool.fetchval("SELECT EXISTS (SELECT FROM audit_leaves WHERE index = $1)", index))


async def bundles(connection: Connection, first_index: int, end: int, *, years: int) -> list[Bundle]:
    """The bundles from `first_index` to `end`, both multiples of their width, in their order."""
    rows = await connection.fetch(_BUNDLES, first_index, end, years, WIDTH)
    return [Bundle(row["bundle"], row["entries"], row["is_over"]) for row in rows]


async def prune(connection: Connection, first_index: int) -> None:
    """Delete every entry before `first_index`, what belongs to it alone, and the challenges that ended with it."""
    await connection.execute(_PRUNE_PRIVATE, first_index)
    rows = await connection.fetch(_PRUNE_EVENTS, first_index)
    for statement in _PRUNE:
        await connection.execute(statement, first_index)
    for statement in _PRUNE_CHALLENGES:
        await connection.execute(statement, [row["challenge_id"] for row in rows])


async def thin_checkpoints(connection: Connection) -> None:
    """Delete checkpoints that newer ones have made needless."""
    await connection.execute(_THIN)


def _state(row: asyncpg.Record | None) -> LogState:
    if row is None:
        raise RuntimeError("the log has no state: the database was not migrated")
    return LogState(row["size"], row["first_index"], (row["txid"], row["position"]))


def _checkpoint(row: asyncpg.Record | None) -> PublishedCheckpoint | None:
    return PublishedCheckpoint(**row) if row else None
