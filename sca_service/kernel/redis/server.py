"""One server: commands of concurrent requests travel in shared pipelines, each with one deadline."""

import asyncio
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final

import hiredis
import msgspec
import redis.exceptions
from redis.asyncio import Redis
from redis.asyncio.connection import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from sca_service.kernel.batching import Batcher, Tell
from sca_service.kernel.deadline import STORE_DEADLINE_SECONDS
from sca_service.kernel.errors import ScaError, StoreUnavailable
from sca_service.kernel.redis.commands import Command
from sca_service.kernel.redis.line import Hear, Line
from sca_service.kernel.redis.replicas import ReplicaRule

_CONNECT_DEADLINE_SECONDS: Final = 0.5
_IN_FLIGHT: Final = 2
"""Pipelines under way on the one connection: the server works at one while the next is written (decision 24)."""
_LEAST_BESIDE: Final = 16
"""While one is under way, so many have to wait for another to leave."""
_LINES_WITH_REPLICAS: Final = 4
"""Connections to a server that waits for its replicas, a pipeline on each: the next need not wait for them too."""
_MOST_IN_PIPELINE: Final = 512
_REFUSALS = (
    redis.exceptions.BusyLoadingError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.NoScriptError,  # of a script that was loaded a moment ago
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


class Sent(msgspec.Struct, frozen=True):
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
        waits = replicas.must_have > 0
        self._lines = [Line(self._pool) for _ in range(_LINES_WITH_REPLICAS if waits else 1)]
        self._batcher: Batcher[Sent | Sequence[Sent], Any] = Batcher(
            self._run,
            most_in_flight=_LINES_WITH_REPLICAS if waits else _IN_FLIGHT,
            most_in_batch=_MOST_IN_PIPELINE,
            most_waiting=20_000,
            least_beside=1 if waits else _LEAST_BESIDE,
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
        for line in self._lines:
            await line.close()
        await self.client.aclose()
        await self._pool.disconnect()

    async def _run(self, items: Sequence[Sent | Sequence[Sent]], tell: Tell) -> None:
        sent = [one for item in items for one in _each_of(item)]
        replies = iter(await self._replies(sent, self._early(items, tell)))
        for place, item in enumerate(items):
            reply = next(replies) if isinstance(item, Sent) else _together([next(replies) for _ in item])
            tell(place, reply)

    def _early(self, items: Sequence[Sent | Sequence[Sent]], tell: Tell) -> Hear:
        """What tells a reply as soon as it comes, where it is all of an answer and need not reach replicas first."""
        places: dict[int, int] = {}
        count = 0
        for place, item in enumerate(items):
            count += sum(len(_arguments_of(one)) for one in _each_of(item))
            if isinstance(item, Sent) and not self._must_last(item):
                places[count - 1] = place

        def hear(at: int, reply: Any) -> None:
            place = places.get(at)
            if place is not None and not isinstance(reply, redis.exceptions.RedisError):
                tell(place, reply)

        return hear

    async def _replies(self, sent: Sequence[Sent], early: Hear) -> list[Any]:
        try:
            async with asyncio.timeout(STORE_DEADLINE_SECONDS):
                replies = await self._send(sent, early)
                if any(isinstance(reply, redis.exceptions.NoScriptError) for reply in replies):
                    replies = await self._send_with_scripts(sent, replies)
        except _AWAY as error:
            raise StoreUnavailable("Redis does not answer") from error
        return [_as_away(reply) for reply in replies]

    async def _send(self, sent: Sequence[Sent], early: Hear | None = None) -> list[Any]:
        """One write, then as many replies. redis-py's pipeline packs in Python, at twice the CPU of all the rest."""
        packed = [hiredis.pack_command(arguments) for one in sent for arguments in _arguments_of(one)]
        waits = any(self._must_last(one) for one in sent)
        if waits:  # blocks this connection only
            wait: tuple[Any, ...] = ("WAIT", self._replicas.must_have, self._replicas.wait_ms)
            packed.append(hiredis.pack_command(wait))
        line = min(self._lines, key=attrgetter("under_way"))
        told = iter(await line.exchange(packed, early))
        replies = [[next(told) for _ in _arguments_of(one)][-1] for one in sent]  # not those to ASKING
        if waits:
            self._withhold(sent, replies, next(told))
        if any(isinstance(reply, redis.exceptions.ReadOnlyError) for reply in replies):
            await line.renew()
        return replies

    def _must_last(self, sent: Sent) -> bool:
        return self._replicas.must_have > 0 and sent.command.lasts

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
