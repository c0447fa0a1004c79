"""Commands to several servers: each goes to the one that owns its slot, and after it when the slot has moved."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any, Final

import redis.exceptions

from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.redis.address import Address, RedisAddress
from sca_service.kernel.redis.commands import Command
from sca_service.kernel.redis.replicas import ReplicaRule
from sca_service.kernel.redis.server import RedisServer, Sent
from sca_service.kernel.redis.whereabouts import Owners, whereabouts

_MOST_TRIES: Final = 6
_PAUSE_SECONDS: Final = 0.05
"""Before a command is sent again to a server that asked for a moment."""
_LOOK_AGAIN_SECONDS: Final = 0.15
_MOST_LOOKS: Final = 200


class RedisRoutes:
    """Servers, and who owns what. A class because it holds them.

    A command that a server turned away (MOVED, ASK, TRYAGAIN, READONLY) was not run, so it is sent again, a few
    times. One that got no answer may have run: that is StoreUnavailable, and it is found out anew who owns the slots.
    """

    def __init__(self, address: RedisAddress, *, most_connections: int, replicas: ReplicaRule) -> None:
        self._replicas = replicas
        self._address = address
        self._most_connections = most_connections
        self._servers: dict[Address, RedisServer] = {}
        self._whereabouts = whereabouts(address, lambda at: self._server(at).client)
        self._owners: list[Address | None] | None = None
        self._primaries: tuple[Address, ...] = ()
        self._suspects: set[Address] = set()
        self._look_under_way: asyncio.Task[Owners] | None = None
        self._looking: asyncio.Task[None] | None = None

    async def ask(self, command: Command) -> Any:
        """What one command returns. Raises StoreUnavailable."""
        at, asking = await self._owner(command.slot), False
        for _ in range(_MOST_TRIES):
            try:
                return await self._server(at).submit(Sent(command, asking))
            except StoreUnavailable as away:
                found = await self._elsewhere(at, command, away.__cause__)
                if found is None:
                    raise
                at, asking = found
        raise StoreUnavailable("Redis servers send us to and fro")

    async def all(self, commands: Sequence[Command]) -> list[Any]:
        """What these return; those of one server run one after the other. Raises what the first that failed raises."""
        replies = await asyncio.gather(*map(self.ask, commands), return_exceptions=True)
        failed = next((reply for reply in replies if isinstance(reply, BaseException)), None)
        if failed is not None:
            raise failed
        return replies

    async def primaries(self) -> Sequence[RedisServer]:
        """Every server that owns a slot. Raises StoreUnavailable."""
        await self._known()
        return [self._server(address) for address in self._primaries]

    async def close(self) -> None:
        """Finish what is under way and close every connection."""
        under_way = {task for task in (self._looking, self._look_under_way) if task}
        for task in under_way:
            task.cancel()
        if under_way:
            await asyncio.wait(under_way)
        for server in self._servers.values():
            await server.close()

    async def _owner(self, slot: int | None) -> Address:
        owners = self._owners or await self._known()
        owner = random.choice(self._primaries) if slot is None else owners[slot]  # noqa: S311 - any of them
        if owner is None:
            self._look_soon()
            raise StoreUnavailable("no Redis server owns the slot")
        return owner

    async def _known(self) -> list[Address | None]:
        """Who owns what, which is found out first if nobody has yet."""
        if self._owners is None:
            await self._look_now()
        assert self._owners is not None  # noqa: S101 - just taken
        return self._owners

    async def _elsewhere(
        self, at: Address, command: Command, why: BaseException | None
    ) -> tuple[Address, bool] | None:
        """Where to send what was not run, and whether with ASKING; None when it may have run, or is refused."""
        match why:
            case redis.exceptions.AskError():  # a MovedError is an AskError for redis-py
                owner = Address(why.host or at.host, why.port)
                if isinstance(why, redis.exceptions.MovedError):
                    if self._owners is not None:
                        self._owners[why.slot_id] = owner
                    self._look_soon()
                    return owner, False
                return owner, True
            case redis.exceptions.TryAgainError():
                await asyncio.sleep(_PAUSE_SECONDS)
                return await self._owner(command.slot), False
            case redis.exceptions.ReadOnlyError():
                await self._look_now()
                return await self._owner(command.slot), False
            case redis.exceptions.ClusterDownError():
                self._look_soon()
            case None:  # too many wait
                pass
            case _:
                self._suspects.add(at)
                self._look_soon()
        return None

    def _look_soon(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        """Look until all who did not answer do again, or own nothing more; for half a minute at most."""
        for _ in range(_MOST_LOOKS):
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            try:
                found = await self._look_now()
            except StoreUnavailable:
                continue
            self._suspects &= set(found.primaries) - found.answered
            if not self._suspects and all(found.of_slot):
                return

    async def _look_now(self) -> Owners:
        """Ask who owns what, once for all who want to know at the same time. Raises StoreUnavailable."""
        if self._look_under_way is None or self._look_under_way.done():
            self._look_under_way = asyncio.get_running_loop().create_task(self._look_around())
        return await asyncio.shield(self._look_under_way)

    async def _look_around(self) -> Owners:
        found = await self._whereabouts.look(self._servers)
        self._owners, self._primaries = list(found.of_slot), found.primaries
        return found

    def _server(self, address: Address) -> RedisServer:
        server = self._servers.get(address)
        if server is None:
            url = self._address.url_of(address)
            server = self._servers[address] = RedisServer(
                url, most_connections=self._most_connections, replicas=self._replicas
            )
        return server
