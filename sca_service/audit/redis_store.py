"""The outbox in Redis: events a script wrote with its decision, until PostgreSQL has them.

The api commits the events of a request before it answers and then forgets them here. What an api that was killed left
behind, a worker commits (architecture, decision 5). Committing twice changes nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import StoreUnavailable

_FORGET_PAUSE_SECONDS = 0.05
LEFT_BEHIND_MS = 3_000
"""An event this old in the outbox has lost the process that wrote it: every request is answered well before."""


def outbox_key(partition: int) -> str:
    """The stream that holds a partition's events until they are committed."""
    return f"{{p{partition:02d}}}:outbox"


class Outbox:
    """Forgets committed events a few at a time, and finds what was left behind. Holds what is yet to be forgotten."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis
        self._committed: dict[int, list[bytes]] = defaultdict(list)
        self._timer: asyncio.TimerHandle | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    def forget(self, partition: int, places: Sequence[bytes]) -> None:
        """These are committed; they leave the outbox within a moment, many in one command."""
        if not places:
            return
        self._committed[partition].extend(places)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FORGET_PAUSE_SECONDS, self._start)

    async def left_behind(self, partition: int, *, before_ms: int, most: int) -> list[tuple[bytes, bytes]]:
        """Places and texts of the events older than `before_ms`, oldest first. Raises StoreUnavailable."""
        entries = await self._redis.command("XRANGE", outbox_key(partition), "-", before_ms, "COUNT", most)
        return [(place, text) for place, (_, text) in entries]  # each has the one member `event`

    async def now_ms(self) -> int:
        """The time by Redis, which also dates the places; of several servers by any. Raises StoreUnavailable."""
        return await self._redis.now_ms()

    async def close(self) -> None:
        """Forget what is still to be forgotten."""
        if self._timer:
            self._timer.cancel()
        await self._forget()

    def _start(self) -> None:
        task = asyncio.get_running_loop().create_task(self._forget())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _forget(self) -> None:
        self._timer = None
        committed, self._committed = self._committed, defaultdict(list)
        try:
            await asyncio.gather(
                *(
                    self._redis.command("XDEL", outbox_key(partition), *places)
                    for partition, places in committed.items()
                )
            )
        except StoreUnavailable:
            return  # a worker finds them and commits them again, which changes nothing
