"""How we reach the stores: scripts on Redis/Valkey in shared pipelines, and a pool to PostgreSQL.

Every call has a deadline well under a second. What does not answer in time is `StoreUnavailable`: the caller is told
503 and nothing is approved (architecture, decision 7). Nothing is sent twice by itself: a script that was sent may
have run.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import redis.exceptions
from redis.asyncio import Redis
from redis.asyncio.connection import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from sca_service.kernel.batching import Batcher
from sca_service.kernel.errors import ConfigurationError, ScaError, StoreUnavailable

STORE_DEADLINE_SECONDS = 0.8
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


class RedisConnection:
    """Redis or Valkey: scripts and commands of concurrent requests travel in shared pipelines."""

    def __init__(self, url: str, *, most_connections: int = 16) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=most_connections,
            timeout=STORE_DEADLINE_SECONDS,
            socket_timeout=STORE_DEADLINE_SECONDS,
            socket_connect_timeout=_CONNECT_DEADLINE_SECONDS,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self.client: Redis = Redis(connection_pool=pool)
        self._batcher: Batcher[Command, Any] = Batcher(
            self._run, most_in_flight=2, most_in_batch=512, most_waiting=20_000
        )

    async def call(self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> Any:
        """Run a script once and return what it returns. Raises StoreUnavailable; then it may or may not have run."""
        return await self._batcher.submit(
            Command(("EVALSHA", script.sha, len(keys), *keys, *arguments), script)
        )

    async def command(self, *arguments: str | bytes | int) -> Any:
        """Run one command. Raises StoreUnavailable."""
        return await self._batcher.submit(Command(arguments))

    async def ready(self) -> None:
        """Check that Redis answers and never evicts what we keep in it.

        Raises StoreUnavailable when it does not answer, ConfigurationError when its policy is not `noeviction`.
        """
        reply = await self.command("INFO", "memory")
        if reply.get("maxmemory_policy") != "noeviction":
            raise ConfigurationError(
                "Redis must run with maxmemory-policy noeviction: eviction would forget attempts"
            )

    async def close(self) -> None:
        """Finish what is under way and close every connection."""
        await self._batcher.drain()
        await self.client.aclose()
        await self.client.connection_pool.disconnect()

    async def _run(self, commands: Sequence[Command]) -> Sequence[Any]:
        try:
            replies = await self._send(commands)
            if any(isinstance(reply, redis.exceptions.NoScriptError) for reply in replies):
                replies = await self._send_with_scripts(commands, replies)
        except _AWAY as error:
            raise StoreUnavailable("Redis does not answer") from error
        return [_as_away(reply) for reply in replies]

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        pipeline = self.client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command.arguments)
        return list(await pipeline.execute(raise_on_error=False))

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


async def connect_postgres(url: str, *, most_connections: int) -> asyncpg.Pool:
    """A pool to PostgreSQL with deadlines on connecting and on every statement. Raises StoreUnavailable."""
    try:
        return await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=most_connections,
            timeout=_CONNECT_DEADLINE_SECONDS * 10,
            command_timeout=STORE_DEADLINE_SECONDS,
            max_inactive_connection_lifetime=0,
            server_settings={"application_name": "sca", "timezone": "UTC"},
        )
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise StoreUnavailable("PostgreSQL does not answer") from error


POSTGRES_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)
"""What asyncpg raises when the server is not there, is shutting down or is full."""
