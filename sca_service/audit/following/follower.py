"""Reads the log on from where it stopped, and works each event exactly once.

A follower has a name and a row in `followers`, which says which index it reads next. What it makes of a portion of
events is written in the transaction that moves the row on: both are there or neither, whatever is killed when. Every
process of a role may run the follower: who holds the row works, the others find it held and look again later.

Nobody is woken: the log gives an event its index within a tenth of a second, and a follower looks five times a second
by one statement that reads two rows. A notification would cost every round of the log a lock that all commits share.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from sca_service.audit.following import postgres_store as store
from sca_service.audit.following.model import LoggedEvent
from sca_service.kernel.postgres import POSTGRES_AWAY
from sca_service.kernel.telemetry import FOLLOWER_WAITING

Work = Callable[[store.Connection, Sequence[LoggedEvent]], Awaitable[None]]
"""What is made of events, in their order, within the transaction it is given; it writes nowhere else."""

PAUSE_SECONDS = 0.2
MOST_AT_ONCE = 500

log = structlog.get_logger()


class LogFollower:
    """Follows the log under a name. A class because it holds the pool and the work.

    The name is written down for good: another name begins anew. `from_beginning` claims that the first entry that is
    kept is of interest; otherwise a new follower begins behind the last.
    """

    def __init__(
        self,
        pool: store.Pool,
        name: str,
        work: Work,
        *,
        from_beginning: bool,
        most_at_once: int = MOST_AT_ONCE,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._pool = pool
        self._name = name
        self._work = work
        self._from_beginning = from_beginning
        self._most_at_once = most_at_once
        self._pause_seconds = pause_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until `stop` is set; a store that is away is waited for."""
        is_registered = False
        while not stop.is_set():
            worked = 0
            try:
                if not is_registered:
                    await self.register()
                    is_registered = True
                worked = await self.follow_once()
            except POSTGRES_AWAY as error:
                log.warning("follower.waiting", follower=self._name, reason=type(error).__name__)
            except Exception as error:  # the worker's loop lives on (style, rule 10)
                log.error("follower.failed", follower=self._name, exc=error)
            if worked < self._most_at_once:
                await _pause(stop, self._pause_seconds)

    async def register(self) -> None:
        """Begin to follow; nothing is pruned from then on that was not read. Raises asyncpg errors."""
        await store.register(self._pool, self._name, from_beginning=self._from_beginning)

    async def follow_once(self) -> int:
        """Work the next portion. Returns how many events; 0 too while another process is at it.

        Raises LogUnreadable, what the work raises, and asyncpg errors when the store is away.
        """
        waiting = await store.waiting(self._pool, self._name)
        FOLLOWER_WAITING.labels(self._name).set(waiting)
        if not waiting:
            return 0
        async with self._pool.acquire() as connection, connection.transaction():
            portion = await store.take(connection, self._name, most=self._most_at_once)
            if portion is None or not portion.events:
                return 0
            await self._work(connection, portion.events)
            await store.advance(connection, self._name, portion.next_index)
            return len(portion.events)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
