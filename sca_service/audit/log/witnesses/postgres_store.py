"""What witnesses signed, and what a publisher reads and writes in PostgreSQL. The statements, and nothing else."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg

from sca_service.audit.log import postgres_store as log_store
from sca_service.audit.log.note import Signature
from sca_service.audit.log.postgres_store import PublishedCheckpoint
from sca_service.audit.log.tiles import TileId
from sca_service.kernel.postgres import in_time

_PUBLISHER_LOCK = 0x5CA_108

_STANDINGS = "SELECT name, size, signed_at FROM log_witnesses ORDER BY name"

# Answers can overtake each other: the newest signature counts.
_SIGNED = """
    INSERT INTO log_witnesses AS known (name, size, signed_at) VALUES ($1, $2, $3)
    ON CONFLICT (name) DO UPDATE SET size = EXCLUDED.size, signed_at = EXCLUDED.signed_at
    WHERE (known.signed_at, known.size) < (EXCLUDED.signed_at, EXCLUDED.size)
"""

_ADD_LINE = "UPDATE log_checkpoints SET note = note || $2 WHERE size = $1 AND strpos(note, $2) = 0"


@dataclass(frozen=True, slots=True)
class WitnessStanding:
    """How far a witness has followed the log, and when it signed that."""

    name: str
    size: int
    signed_at: datetime


class WitnessStore:
    """The checkpoints that wait for witnesses, and what witnesses have signed. A class because it holds the pool.

    Its methods raise StoreUnavailable.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["Turn | None"]:
        """The right to publish, which one process at a time has; None when another has it. Raises asyncpg errors."""
        async with self._pool.acquire() as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _PUBLISHER_LOCK):
                yield None
                return
            try:
                yield Turn(connection)
            finally:
                if not connection.is_closed():
                    await connection.execute("SELECT pg_advisory_unlock($1)", _PUBLISHER_LOCK)

    async def unpublished(self) -> PublishedCheckpoint | None:
        """The newest checkpoint that is newer than what is out; None when there is none."""
        return await in_time(log_store.unpublished(self._pool))

    async def publish(self, size: int, note: str) -> None:
        """Let a checkpoint out, with the lines of its witnesses in `note`."""
        await in_time(log_store.publish(self._pool, size, note))

    async def add_line(self, size: int, signature: Signature) -> None:
        """Put a witness's line under a checkpoint that is out already, unless it is there."""
        await in_time(self._pool.execute(_ADD_LINE, size, signature.line))

    async def tiles(self, wanted: Collection[TileId]) -> dict[TileId, bytes]:
        """Those of the wanted tiles that there are."""
        return await in_time(log_store.tiles(self._pool, wanted))

    async def standings(self) -> list[WitnessStanding]:
        """What each witness has signed last."""
        rows = await in_time(self._pool.fetch(_STANDINGS))
        return [WitnessStanding(**row) for row in rows]

    async def signed(self, name: str, size: int, at_seconds: int) -> None:
        """Note that a witness has signed a size. A time beyond our calendar counts as its end."""
        at = datetime.fromtimestamp(min(at_seconds, _LAST_SECOND), UTC)
        await in_time(self._pool.execute(_SIGNED, name, size, at))


class Turn:
    """The right to publish. A class because it holds the connection that holds the lock."""

    def __init__(self, connection: asyncpg.pool.PoolConnectionProxy) -> None:
        self._connection = connection

    @property
    def is_held(self) -> bool:
        """Whether the connection stands, and with it the lock."""
        return not self._connection.is_closed()


_LAST_SECOND = 253_402_300_799
