"""How we reach Redis/Valkey: scripts and commands in shared pipelines.

Every call has a deadline well under a second. What does not answer in time is `StoreUnavailable`: the caller is told
503 and nothing is approved (architecture, decision 7). Nothing is sent twice by itself: a script that was sent may
have run.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

from redis.asyncio.client import PubSub

from sca_service.kernel.errors import ConfigurationError, StoreUnavailable
from sca_service.kernel.redis.address import RedisAddress
from sca_service.kernel.redis.commands import Command, Script
from sca_service.kernel.redis.replicas import NO_REPLICAS, ReplicaRule
from sca_service.kernel.redis.routes import RedisRoutes
from sca_service.kernel.redis.server import RedisServer, Sent


class RedisConnection:
    """Redis or Valkey, one or many: scripts and commands of concurrent requests travel in shared pipelines.

    `may_lose` claims that a server which takes over may lack what somebody was told.
    """

    def __init__(self, url: str, *, most_connections: int = 16, replicas: ReplicaRule = NO_REPLICAS) -> None:
        address = RedisAddress.parse(url)
        self._replicas = replicas
        self.may_lose = (address.may_fail_over or replicas.count > 0) and not replicas.all_have_what_was_told
        self._only: RedisServer | None = None
        self._routes: RedisRoutes | None = None
        if address.may_fail_over:
            self._routes = RedisRoutes(address, most_connections=most_connections, replicas=replicas)
        else:
            url = address.url_of(address.addresses[0])
            self._only = RedisServer(url, most_connections=most_connections, replicas=replicas)

    @property
    def is_one_server(self) -> bool:
        """Whether one server holds every key: then one call of a script may be given keys of several slots."""
        return self._only is not None

    async def call(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes | int],
        *,
        lasts: bool = False,
    ) -> Any:
        """Run a script once and return what it returns; with `lasts` once as many replicas have it as must.

        Raises StoreUnavailable; then it may or may not have run.
        """
        return await self._submit(Command.of(script, keys, arguments, lasts=lasts))

    def submit(
        self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes | int]
    ) -> "asyncio.Future[Any]":
        """As `call`, for those who need not wait. Raises StoreUnavailable when too many wait already."""
        return self._submit(Command.of(script, keys, arguments))

    def submit_command(self, *arguments: str | bytes | int) -> "asyncio.Future[Any]":
        """As `command`, for those who need not wait. Raises StoreUnavailable when too many wait already."""
        return self._submit(Command(arguments))

    async def all(self, commands: Sequence[Command]) -> list[Any]:
        """Run these and return what each returns, for the price of one wait; those on one slot one after the other.

        Raises what the first of them that failed would raise; the others may have run.
        """
        if self._only:
            replies: list[Any] = await self._only.submit([Sent(command) for command in commands])
            return replies
        assert self._routes is not None  # noqa: S101 - one of the two is there
        return await self._routes.all(commands)

    async def command(self, *arguments: str | bytes | int, lasts: bool = False) -> Any:
        """Run one command; `lasts` as for a script. Raises StoreUnavailable."""
        return await self._submit(Command(arguments, lasts=lasts))

    async def now_ms(self, key: str = "") -> int:
        """The time of the server that decides about this key, or of any, in ms. Raises StoreUnavailable."""
        seconds, microseconds = await self._submit(Command(("TIME",), at=key))
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def find_keys(self, pattern: str, *, at_once: int) -> AsyncIterator[list[bytes]]:
        """The keys of this form on all servers, some at a time; one may come twice (SCAN). Raises StoreUnavailable."""
        for server in await self._servers():
            cursor = b"0"
            while True:
                scan = Command(("SCAN", cursor, "MATCH", pattern, "COUNT", at_once))
                cursor, keys = await server.submit(Sent(scan))
                if keys:
                    yield keys
                if cursor == b"0":
                    break

    async def subscription(self) -> PubSub:
        """What hears messages: a server passes on what is published at any of them. Raises StoreUnavailable."""
        return random.choice(await self._servers()).client.pubsub()  # noqa: S311 - any of them

    async def ready(self) -> None:
        """Check that Redis answers, never evicts what we keep in it, and has the replicas that it should have.

        Raises StoreUnavailable when it does not answer or too few replicas follow it, ConfigurationError when its
        policy is not `noeviction`, or when it would decide alone though it should have replicas.
        """
        for server in await self._servers():
            memory, replication = await server.submit(
                [Sent(Command(("INFO", "memory"))), Sent(Command(("INFO", "replication")))]
            )
            if b"maxmemory_policy:noeviction" not in memory:
                raise ConfigurationError(
                    "Redis must run with maxmemory-policy noeviction: eviction would forget attempts"
                )
            if self._replicas.count:
                _check_replicas(replication, self._replicas)

    async def what_forgets(self) -> list[str]:
        """The parameters by which a server forgets what it holds when it ends. Raises StoreUnavailable."""
        for server in await self._servers():
            if b"aof_enabled:0" in await server.submit(Sent(Command(("INFO", "persistence")))):
                return ["appendonly"]
        return []

    async def close(self) -> None:
        """Finish what is under way and close every connection."""
        for server in (self._only, self._routes):
            if server:
                await server.close()

    def _submit(self, command: Command) -> "asyncio.Future[Any]":
        if self._only:
            return self._only.submit(Sent(command))
        assert self._routes is not None  # noqa: S101 - one of the two is there
        return asyncio.get_running_loop().create_task(self._routes.ask(command))

    async def _servers(self) -> Sequence[RedisServer]:
        if self._only:
            return (self._only,)
        assert self._routes is not None  # noqa: S101 - one of the two is there
        return await self._routes.primaries()


def _check_replicas(replication: bytes, rule: ReplicaRule) -> None:
    """Raises ConfigurationError, StoreUnavailable."""
    found = dict(line.split(b":", 1) for line in replication.splitlines() if b":" in line)
    if b"min_slaves_good_slaves" not in found:  # it is there when both settings are
        raise ConfigurationError(
            "Redis with replicas must run with min-replicas-to-write and min-replicas-max-lag: "
            "a primary that is cut off would decide what nobody else knows"
        )
    if int(found[b"connected_slaves"]) < rule.must_have:
        raise StoreUnavailable("too few replicas follow Redis")
