"""What is due, partition by partition, in Redis."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.redis.commands import Script

_DUE = Script.read(Path(__file__).parent / "due.lua")


@dataclass(frozen=True, slots=True)
class Due:
    """How many challenges wait for a worker, and for how long the first of them has, in ms."""

    number: int
    waiting_ms: int


class BacklogStore:
    """Counts what is due. A class because it holds the connection."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis

    async def due(self, partitions: Iterable[int]) -> Due:
        """What is due in all of these partitions. Raises StoreUnavailable."""
        found = await asyncio.gather(
            *(self._redis.call(_DUE, (f"{{p{partition:02d}}}:due",), ()) for partition in partitions)
        )
        return Due(sum(number for number, _ in found), max((waiting for _, waiting in found), default=0))
