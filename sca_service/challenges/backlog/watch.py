"""Tells, as a metric, what is due and waits for a worker: workers are scaled by it."""

import asyncio
from collections.abc import Iterable

import structlog

from sca_service.challenges.backlog.redis_store import BacklogStore
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.telemetry import DELIVERIES_DUE, DELIVERIES_DUE_SECONDS

_EVERY_SECONDS = 5.0
"""Prometheus asks every 15 seconds."""

log = structlog.get_logger()


class BacklogWatch:
    """Counts again and again, for all workers: each tells the same. A class because it holds the store."""

    def __init__(self, store: BacklogStore, partitions: Iterable[int]) -> None:
        self._store = store
        self._partitions = tuple(partitions)

    async def run(self, stop: asyncio.Event) -> None:
        """Count every five seconds until `stop` is set; while Redis is away the metrics stay as they were."""
        while not stop.is_set():
            try:
                await self.count()
            except StoreUnavailable as away:
                log.warning("backlog.uncounted", reason=away.detail)
            try:
                await asyncio.wait_for(stop.wait(), _EVERY_SECONDS)
            except TimeoutError:
                continue

    async def count(self) -> None:
        """Count once. Raises StoreUnavailable."""
        due = await self._store.due(self._partitions)
        DELIVERIES_DUE.set(due.number)
        DELIVERIES_DUE_SECONDS.set(due.waiting_ms / 1000)
