"""Limits that span payers, in Redis: one script call per subject, by Redis `TIME`."""

from collections.abc import Sequence
from pathlib import Path

import structlog

from sca_service.kernel.connections import RedisConnection, Script
from sca_service.kernel.errors import TooEarly
from sca_service.limits.model import Limit

_SPEND = Script.read(Path(__file__).parent / "spend.lua")

log = structlog.get_logger()


class LimitStore:
    """Spends limits. A class because it holds the connection."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis

    async def spend(self, limits: Sequence[Limit]) -> None:
        """Spend one of each of one subject's limits, or none.

        Raises TooEarly with the seconds to wait when a limit that refuses is spent; one that observes is logged.
        """
        if not limits:
            return
        keys = [f"{{limit:{limit.subject}}}:{limit.name}" for limit in limits]
        numbers = [number for one in limits for number in (one.interval_ms, one.burst, int(one.refuses))]
        refusing, wait_ms, observed = await self._redis.call(_SPEND, keys, numbers)
        if observed:
            log.info("limit.observed", limit=limits[observed - 1].name)
        if refusing:
            raise TooEarly(f"the limit {limits[refusing - 1].name} is spent", -(-wait_ms // 1000))
