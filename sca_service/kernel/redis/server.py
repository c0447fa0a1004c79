"""One server: commands of concurrent requests travel in shared pipelines, each with one deadline."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import hiredis
import redis.exceptions
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from sca_service.kernel.batching import Batcher
from sca_service.kernel.deadline import STORE_DEADLINE_SECONDS
from sca_service.kernel.errors import ScaError, StoreUnavailable
from sca_service.kernel.redis.commands import Command
from sca_service.kernel.redis.replicas import ReplicaRule

_CONNECT_DEADLINE_SECONDS: Final = 0.5
_IN_FLIGHT_WITH_REPLICAS: Final = 4
"""Pipelines to one server that waits for its replicas: the next ones need not wait for them too."""
_REFUSALS = (
    redis.exceptions.BusyLoadingError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.MovedError,
    redis.exceptions.AskError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.TryAgainError,
    redis.exceptions.ConnectionError,
)
_REFUSING_WORDS = ("MISCONF", "MASTERDOWN", "NOREPLICAS", "BUSY", "LOADING", "READONLY", "OOM", "CLUSTERDOWN")
_MOVING_WORDS = (
    "ttempted to access a non local key",  # a script, in a slot that moves key by key; what it wrote before stands
    "ttempted to execute a",  # … command while the cluster is down
)
_AWAY = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Sent:
    """A command as it goes to one server; `asking` when that server is only about to take its slot over (ASK)."""

    command: Command
    asking: bool = False


class RedisServer:
    """One Redis or Valkey. A class because it holds the connections, and what waits to be sent."""

    def __init__(self, url: str, *, most_connections: int, replicas: ReplicaRule) -> None:
        self._replicas = replicas
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=most_connections,
            timeout=STORE_DEADLINE_SECONDS,
            socket_timeout=None,  # `_run` sets one deadline for a whole pipeline; redis-py would set one per reply
            socket_connect_timeout=_CONNECT_DEADLINE_SECONDS,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,  # servers need not know, and a command less has to be granted
        )
        self.client: Redis = Redis(connection_pool=self._pool)
        self._batcher: Batcher[Sent | Sequence[Sent], Any] = Batcher(
            self._run,
            most_in_flight=_IN_FLIGHT_WITH_REPLICAS if replicas.must_have else 1,
            most_in_batch=512,
            most_waiting=20_000,
        )

    def submit(self, item: Sent | Sequence[Sent]) -> "asyncio.Future[Any]":
        """Queue one command, or some that run one after the other; the future holds what they return.

        What the server refuses is the cause (`__cause__`) of the error in the future. Raises StoreUnavailable when too
        many wait already.
        """
        return self._batcher.submit(item)

    async def close(self) -> None:
        """Finish what is under way and close every connection."""
        await self._batcher.drain()
        await self.client.aclose()
        await self._pool.disconnect()

    async def _run(self, items: Sequence[Sent | Sequence[Sent]]) -> Sequence[Any]:
        replies = iter(await self._replies([one for item in items for one in _each_of(item)]))
        return [
            next(replies) if isinstance(item, Sent) else _together([next(replies) for _ in item])
            for item in items
        ]

    async def _replies(self, sent: Sequence[Sent]) -> list[Any]:
        try:
            async with asyncio.timeout(STORE_DEADLINE_SECONDS):
                replies = await self._send(sent)
                if any(isinstance(reply, redis.exceptions.NoScriptError) for reply in replies):
                    replies = await self._send_with_scripts(sent, replies)
        except _AWAY as error:
            raise StoreUnavailable("Redis does not answer") from error
        return [_as_away(reply) for reply in replies]

    async def _send(self, sent: Sequence[Sent]) -> list[Any]:
        """One write, then as many replies. redis-py's pipeline packs in Python, at twice the CPU of all the rest."""
        connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            packed = [hiredis.pack_command(arguments) for one in sent for arguments in _arguments_of(one)]
            waits = self._replicas.must_have > 0 and any(one.command.lasts for one in sent)
            if waits:  # blocks this connection only
                wait: tuple[Any, ...] = ("WAIT", self._replicas.must_have, self._replicas.wait_ms)
                packed.append(hiredis.pack_command(wait))
            await connection.send_packed_command(packed)
            replies = [await _reply_to(one, connection) for one in sent]
            if waits:
                self._withhold(sent, replies, await _reply(connection))
            if any(isinstance(reply, redis.exceptions.ReadOnlyError) for reply in replies):
                await connection.disconnect(
                    nowait=True
                )  # behind this name another server may be the primary by now
            return replies
        except BaseException:
            await connection.disconnect(nowait=True)  # replies may be outstanding: nobody else may read them
            raise
        finally:
            await self._pool.release(connection)

    def _withhold(self, sent: Sequence[Sent], replies: list[Any], reached: Any) -> None:
        """Tell nothing of what too few replicas have: whoever takes over might know nothing of it."""
        if isinstance(reached, int) and reached >= self._replicas.must_have:
            return
        for at, one in enumerate(sent):
            if one.command.lasts and not isinstance(replies[at], redis.exceptions.RedisError):
                replies[at] = redis.exceptions.ResponseError("NOREPLICAS: too few have it in time")

    async def _send_with_scripts(self, sent: Sequence[Sent], replies: list[Any]) -> list[Any]:
        unknown = [
            at for at, reply in enumerate(replies) if isinstance(reply, redis.exceptions.NoScriptError)
        ]
        scripts = {script for at in unknown if (script := sent[at].command.script) is not None}
        for script in scripts:
            await self.client.script_load(script.source)
        for at, reply in zip(unknown, await self._send([sent[at] for at in unknown]), strict=True):
            replies[at] = reply
        return replies


def _each_of(item: Sent | Sequence[Sent]) -> Sequence[Sent]:
    return (item,) if isinstance(item, Sent) else item


def _arguments_of(sent: Sent) -> Sequence[tuple[Any, ...]]:
    return (("ASKING",), sent.command.arguments) if sent.asking else (sent.command.arguments,)


def _together(replies: list[Any]) -> Any:
    """All the replies, or the first that is an error."""
    return next((reply for reply in replies if isinstance(reply, BaseException)), replies)


async def _reply_to(sent: Sent, connection: AbstractConnection) -> Any:
    if sent.asking:
        await _reply(connection)
    return await _reply(connection)


async def _reply(connection: AbstractConnection) -> Any:
    """The next reply; a refusal of the server is a value here, so that the replies after it are read too."""
    try:
        return await connection.read_response()
    except redis.exceptions.ResponseError as refusal:
        return refusal


def _as_away(reply: Any) -> Any:
    """A server that is loading, read-only, full or failing over is away; any other refusal is a fault of ours."""
    if not isinstance(reply, redis.exceptions.RedisError):
        return reply
    said = str(reply)
    is_away = (
        isinstance(reply, _REFUSALS)
        or said.startswith(_REFUSING_WORDS)
        or any(words in said for words in _MOVING_WORDS)
    )
    error = (
        StoreUnavailable("Redis refuses to decide right now")
        if is_away
        else ScaError("Redis refused a command")
    )
    error.__cause__ = reply
    return error
