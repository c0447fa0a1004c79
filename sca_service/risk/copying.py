"""Copies lists and reports from PostgreSQL to Redis, again and again: what Redis has lost comes back by itself.

A change is copied at once by whoever makes it. This goes through all of them in the background, portion by portion, for
what was lost in between: a process that died before it copied, a Redis that began anew. Versions keep an older standing
from replacing a later one, so that any number of workers may do this at once.
"""

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from sca_service.kernel.errors import StoreUnavailable
from sca_service.risk.postgres_store import MarkStore
from sca_service.risk.redis_store import RiskStore

_AT_ONCE: Final = 200
_PAUSE_SECONDS: Final = 1.0
"""Between portions while Redis has them all: at most 200 scripts a second, and no hurry."""
_BETWEEN_PASSES_SECONDS: Final = 5.0

log = structlog.get_logger()


class Copier:
    """Goes through the standings. A class because it holds the stores, and how far it has come."""

    def __init__(self, store: MarkStore, memory: RiskStore) -> None:
        self._store = store
        self._memory = memory
        self._after = ""
        self._is_refilling = False

    async def run(self, stop: asyncio.Event) -> None:
        """Portion after portion until `stop` is set. Raises nothing."""
        while not stop.is_set():
            try:
                pause_seconds = await self.step()
            except StoreUnavailable as away:
                log.warning("risk.copying_failed", detail=away.detail)
                pause_seconds = _BETWEEN_PASSES_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_seconds)

    async def step(self) -> float:
        """Copy one portion. Returns for how many seconds to rest: not at all while Redis does not have all of them.

        Raises StoreUnavailable.
        """
        if not self._is_refilling and not await self._memory.has_copies():
            await self._memory.copying_begins()
            self._after, self._is_refilling = "", True
        rows = await self._store.standings(after=self._after, most=_AT_ONCE)
        await asyncio.gather(*(self._memory.copy(row.standing) for row in rows))
        if len(rows) == _AT_ONCE:
            self._after = rows[-1].id
            return 0.0 if self._is_refilling else _PAUSE_SECONDS
        is_lost_again = self._is_refilling and not await self._memory.all_copied()
        self._after, self._is_refilling = "", False
        return 0.0 if is_lost_again else _BETWEEN_PASSES_SECONDS
