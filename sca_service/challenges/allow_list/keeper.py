"""Keeps Redis' copy of the allow-list as PostgreSQL has it: after a loss of Redis, and of a process between the two.

Each change is put into PostgreSQL first and then into Redis. So Redis is looked at first here: what it holds was in
PostgreSQL before, and is taken out only when it is there no more; what it does not hold is put there only when it is in
PostgreSQL afterwards. Nothing that changes meanwhile is undone, and no lock is needed.
"""

import asyncio
from typing import Final

import structlog

from sca_service.challenges.allow_list.postgres_store import AllowListStore
from sca_service.kernel.errors import StoreUnavailable
from sca_service.limits.pumping.model import Subject
from sca_service.limits.pumping.redis_store import EntryKind, PumpingStore

_EVERY_SECONDS: Final = 2.0
MOST: Final = 10_000
"""So many entries are kept; an operator's list has tens."""

log = structlog.get_logger()


class AllowListKeeper:
    """Compares the two. A class because it holds the stores."""

    def __init__(self, rows: AllowListStore, copy: PumpingStore) -> None:
        self._rows = rows
        self._copy = copy

    async def run(self, stop: asyncio.Event) -> None:
        """Compare every few seconds until `stop` is set. Stores that are away are waited for."""
        while not stop.is_set():
            try:
                await self.compare()
            except StoreUnavailable as away:
                log.warning("allow_list.waiting", reason=away.detail)
            try:
                await asyncio.wait_for(stop.wait(), _EVERY_SECONDS)
            except TimeoutError:
                continue

    async def compare(self) -> None:
        """Put into Redis what it has not, and take out what is allowed no more. Raises StoreUnavailable."""
        copied = {entry.id for entry in await self._copy.entries(EntryKind.ALLOW, most=MOST)}
        await self._rows.forget()
        allowed = await self._rows.in_force(most=MOST)
        for stale in copied - {one.entry.id for one in allowed}:
            await self._copy.lift(EntryKind.ALLOW, stale)
        missing = [one for one in allowed if one.entry.id not in copied]
        for one in missing:
            entry = one.entry
            await self._copy.allow(
                Subject(entry.scope, entry.subject),
                entry_id=entry.id,
                why=entry.why,
                seconds=max(one.seconds_left, 1),
            )
        if missing:
            log.warning("allow_list.restored", entries=len(missing))
