"""One connection to a server at a time: pipelines leave before earlier ones are answered, replies come in order."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import redis.exceptions
from redis.asyncio.connection import AbstractConnection, BlockingConnectionPool

Hear = Callable[[int, Any], None]
"""Hears a reply as soon as it comes: the place of its command in the pipeline, and what it is."""


class Line:
    """Pipelines over one connection. A class because it holds the connection, and who waits for it.

    What is written first is answered first. When one pipeline fails or is late, its connection is closed and all that
    are on it fail: they may have run. Those that come after open another.
    """

    def __init__(self, pool: BlockingConnectionPool) -> None:
        self._pool = pool
        self._wire: _Wire | None = None
        self._writing = asyncio.Lock()  # first come, first served
        self.under_way = 0
        """Pipelines that wait to be written or answered."""

    async def exchange(self, packed: Sequence[bytes], hear: Hear | None = None) -> list[Any]:
        """Send commands in one write and return their replies; a refusal is a reply too.

        Whoever gives up waiting, as a deadline does, closes the connection. Raises what redis-py raises, or OSError,
        when the server is away.
        """
        wire: _Wire | None = None
        self.under_way += 1
        try:
            async with self._writing:
                wire = await self._open()
                wire.under_way += 1
                await wire.write(packed)
            async with wire.reading:  # whoever wrote next is next here: between the two nobody else runs
                return await _replies(wire, len(packed), hear)
        except BaseException:
            if wire is not None:
                await wire.close()  # replies may be outstanding: nobody else may read them
            raise
        finally:
            self.under_way -= 1
            if wire is not None:
                await self._leave(wire)

    async def renew(self) -> None:
        """Open another connection for the next pipeline: behind this name another server may be by now."""
        wire, self._wire = self._wire, None
        if wire is not None and not wire.under_way:
            await self._give_back(wire)

    async def close(self) -> None:
        """Give the connection back to the pool, which closes it. Nothing may be under way."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await self._pool.release(wire.connection)

    async def _open(self) -> "_Wire":
        wire = self._wire
        if wire is not None and await wire.is_useless():
            await self.renew()
            wire = None
        if wire is None:
            wire = self._wire = _Wire(await self._pool.get_connection())  # type: ignore[no-untyped-call]
        return wire

    async def _leave(self, wire: "_Wire") -> None:
        """The last to leave a connection that no other will use gives it back."""
        wire.under_way -= 1
        if not wire.under_way and wire is not self._wire:
            await self._give_back(wire)

    async def _give_back(self, wire: "_Wire") -> None:
        await wire.close()
        await self._pool.release(wire.connection)


class _Wire:
    """A connection, and how many pipelines are on it. A class because that changes."""

    def __init__(self, connection: AbstractConnection) -> None:
        self.connection = connection
        self.reading = asyncio.Lock()
        self.under_way = 0

    async def is_useless(self) -> bool:
        """Whether it is closed, or at rest and the server has closed it or said what nobody asked."""
        if not self.connection.is_connected:
            return True
        try:
            return not self.under_way and bool(await self.connection.can_read())
        except (redis.exceptions.RedisError, OSError):
            return True

    async def write(self, packed: Sequence[bytes]) -> None:
        """Send it in one write. Raises redis.exceptions.ConnectionError, OSError."""
        try:
            await self.connection.send_packed_command(packed)
        except RuntimeError as ended:  # uvloop's word for a connection that ended in this very moment
            raise redis.exceptions.ConnectionError("the connection has ended") from ended

    async def close(self) -> None:
        """Whoever waits for a reply on it hears that it is closed."""
        await self.connection.disconnect(nowait=True)


async def _replies(wire: _Wire, count: int, hear: Hear | None) -> list[Any]:
    replies: list[Any] = []
    for place in range(count):
        try:
            reply = await wire.connection.read_response()
        except redis.exceptions.ResponseError as refusal:
            reply = refusal
        replies.append(reply)
        if hear is not None:
            hear(place, reply)
    return replies
