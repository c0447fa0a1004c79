"""How we reach Redis/Valkey: scripts and commands in shared pipelines.

Every call has a deadline well under a second. What does not answer in time is `StoreUnavailable`: the caller is told
503 and nothing is approved (architecture, decision 7). Nothing is sent twice by itself: a script that was sent may
have run.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hiredis
import redis.exceptions
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from sca_service.kernel.batching import Batcher
from sca_service.kernel.deadline import STORE_DEADLINE_SECONDS
from sca_service.kernel.errors import ConfigurationError, ScaError, StoreUnavailable

_CONNECT_DEADLINE_SECONDS = 0.5
_REFUSALS = (
    redis.exceptions.BusyLoadingError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.TryAgainError,
    redis.exceptions.ConnectionError,
)
_REFUSING_WORDS = ("MISCONF", "MASTERDOWN", "NOREPLICAS", "BUSY", "LOADING", "READONLY", "OOM", "CLUSTERDOWN")
_AWAY = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the digest by which Redis knows it."""

    name: str
    source: str
    sha: str

    @classmethod
    def read(cls, *paths: Path) -> "Script":
        """The script made of these files, one after the other; the last names it."""
        source = "\n".join(path.read_text("utf-8") for path in paths)
        return cls(paths[-1].stem, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


@dataclass(frozen=True, slots=True)
class Command:
    """One Redis command, or one script call when `script` is set."""

    arguments: tuple[Any, ...]
    script: Script | None = None

    @classmethod
    def of(cls, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> "Command":
        """The call of a script."""
        return cls(("EVALSHA", script.sha, len(keys), *keys, *arguments), script)


class RedisConnection:
    """Redis or Valkey: scripts and commands of concurrent requests travel in shared pipelines."""

    def __init__(self, url: str, *, most_connections: int = 16) -> None:
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=most_connections,
            timeout=STORE_DEADLINE_SECONDS,
            socket_timeout=None,  # `_run` sets one deadline for a whole pipeline; redis-py would set one per reply
            socket_connect_timeout=_CONNECT_DEADLINE_SECONDS,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self.client: Redis = Redis(connection_pool=self._pool)
        self._batcher: Batcher[Command | Sequence[Command], Any] = Batcher(
            self._run, most_in_flight=1, most_in_batch=512, most_waiting=20_000
        )

    async def call(self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> Any:
        """Run a script once and return what it returns. Raises StoreUnavailable; then it may or may not have run."""
        return await self.submit(script, keys, arguments)

    def submit(
        self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes | int]
    ) -> "asyncio.Future[Any]":
        """As `call`, for those who need not wait. Raises StoreUnavailable when too many wait already."""
        return self._batcher.submit(Command.of(script, keys, arguments))

    async def all(self, commands: Sequence[Command]) -> list[Any]:
        """Run these one after the other in one pipeline and return what each returns, for the price of one wait.

        Raises what the first of them that failed would raise; the others may have run.
        """
        replies: list[Any] = await self._batcher.submit(commands)
        return replies

    async def command(self, *arguments: str | bytes | int) -> Any:
        """Run one command. Raises StoreUnavailable."""
        return await self._batcher.submit(Command(arguments))

    async def ready(self) -> None:
        """Check that Redis answers and never evicts what we keep in it.

        Raises StoreUnavailable when it does not answer, ConfigurationError when its policy is not `noeviction`.
        """
        reply = await self.command("INFO", "memory")
        if b"maxmemory_policy:noeviction" not in reply:
            raise ConfigurationError(
                "Redis must run with maxmemory-policy noeviction: eviction would forget attempts"
            )

    async def close(self) -> None:
        """Finish what is under way and close every connection."""
        await self._batcher.drain()
        await self.client.aclose()
        await self._pool.disconnect()

    async def _run(self, items: Sequence[Command | Sequence[Command]]) -> Sequence[Any]:
        replies = iter(await self._replies([one for item in items for one in _commands_of(item)]))
        return [
            next(replies) if isinstance(item, Command) else _together([next(replies) for _ in item])
            for item in items
        ]

    async def _replies(self, commands: Sequence[Command]) -> list[Any]:
        try:
            async with asyncio.timeout(STORE_DEADLINE_SECONDS):
                replies = await self._send(commands)
                if any(isinstance(reply, redis.exceptions.NoScriptError) for reply in replies):
                    replies = await self._send_with_scripts(commands, replies)
        except _AWAY as error:
            raise StoreUnavailable("Redis does not answer") from error
        return [_as_away(reply) for reply in replies]

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        """One write, then as many replies. redis-py's pipeline packs in Python, at twice the CPU of all the rest."""
        connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.send_packed_command(
                [hiredis.pack_command(command.arguments) for command in commands]
            )
            return [await _reply(connection) for _ in commands]
        except BaseException:
            await connection.disconnect(nowait=True)  # replies may be outstanding: nobody else may read them
            raise
        finally:
            await self._pool.release(connection)

    async def _send_with_scripts(self, commands: Sequence[Command], replies: list[Any]) -> list[Any]:
        unknown = [
            at for at, reply in enumerate(replies) if isinstance(reply, redis.exceptions.NoScriptError)
        ]
        scripts = {script for at in unknown if (script := commands[at].script) is not None}
        for script in scripts:
            await self.client.script_load(script.source)
        for at, reply in zip(unknown, await self._send([commands[at] for at in unknown]), strict=True):
            replies[at] = reply
        return replies


def _commands_of(item: Command | Sequence[Command]) -> Sequence[Command]:
    return (item,) if isinstance(item, Command) else item


def _together(replies: list[Any]) -> Any:
    """All the replies, or the first that is an error."""
    return next((reply for reply in replies if isinstance(reply, BaseException)), replies)


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
    is_away = isinstance(reply, _REFUSALS) or str(reply).startswith(_REFUSING_WORDS)
    error = (
        StoreUnavailable("Redis refuses to decide right now")
        if is_away
        else ScaError("Redis refused a command")
    )
    error.__cause__ = reply
    return error
