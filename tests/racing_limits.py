"""Limits that are read and then written, by the clock of whoever asks: what the script is there to prevent."""

import time
from collections.abc import Callable, Sequence

from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import TooEarly
from sca_service.limits.model import Limit, Spent, spend
from sca_service.limits.redis_store import LimitStore

_KEPT_MS = 3_600_000


def clock_ms() -> int:
    """This process's clock."""
    return time.time_ns() // 1_000_000


class RacingLimits(LimitStore):
    """The same decision as two commands."""

    def __init__(self, redis: RedisConnection, now_ms: Callable[[], int] = clock_ms) -> None:
        super().__init__(redis)
        self._connection = redis
        self._now_ms = now_ms

    async def spend(self, limits: Sequence[Limit]) -> Spent:
        """Read, decide, write."""
        for limit in limits:
            key = f"{{limit:{limit.slot or limit.subject}}}:{limit.name}:{limit.subject}"
            decision = spend(limit, int(await self._connection.command("GET", key) or 0), self._now_ms())
            if not decision.allowed:
                raise TooEarly("spent", 1)
            await self._connection.command("SET", key, decision.tat_ms, "PX", _KEPT_MS)
        return Spent(tuple(limits))
