"""Limits of which a process takes some permits ahead, so that what is given back anyway asks Redis for nothing.

An answer is counted before it is looked at and given back when it was right: without leases that is two calls to Redis
for each right answer. A process leases a share of a limit in one step, spends from it, and takes back into it. What is
leased is spent in Redis already, so never do more pass than the limit allows, over all processes; fewer may, by what
others hold. A lease ends after ten seconds and what is left of it goes back; that of a process that died comes back
with time, as everything that is spent does.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from sca_service.kernel.errors import TooEarly
from sca_service.limits.model import Limit, Spent

SHARE: Final = 50
"""A lease is this part of what may be spent at once; of a limit below that nothing is taken ahead."""
LEASE_SECONDS: Final = 10.0
_MOST_POCKETS: Final = 10_000


class Limits(Protocol):
    """Spends limits one at a time."""

    async def spend(self, limits: Sequence[Limit]) -> Spent:
        """Spend one of each or none. Raises TooEarly, StoreUnavailable."""

    def give_back(self, limits: Iterable[Limit], *, times: int = 1) -> None:
        """Give back what was spent. Never raises and never waits."""


@dataclass(slots=True)
class _Pocket:
    """What a process holds of one limit of one subject."""

    left: int = 0
    ends_at: float = 0.0
    taking: asyncio.Lock = field(default_factory=asyncio.Lock)


class Leases:
    """Spends limits from leases. A class because it holds them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pockets: dict[tuple[str, str], _Pocket] = {}

    async def spend(self, limits: Sequence[Limit]) -> Spent:
        """Spend one of each limit, or none.

        Raises TooEarly with the seconds to wait when a limit that refuses is spent, StoreUnavailable; what was spent of
        the others is given back then.
        """
        plain = [limit for limit in limits if not _leased(limit)]
        spent: list[Limit] = []
        told = Spent()
        try:
            for limit in limits:
                spent += await self._take(limit) if _leased(limit) else ()
            if plain:
                told = await self._limits.spend(plain)
        except BaseException:
            self.give_back(spent)
            raise
        return replace(told, limits=(*told.limits, *spent))

    def give_back(self, limits: Iterable[Limit], *, times: int = 1) -> None:
        """Give back what was spent, once or so many times, for nothing came of it. Never raises and never waits."""
        plain = []
        for limit in limits:
            pocket = self._pockets.get((limit.name, limit.subject)) if _leased(limit) else None
            if pocket is None:
                plain.append(limit)
                continue
            pocket.left += times
            if pocket.left > 2 * _leased(limit):
                pocket.left -= _leased(limit)
                self._limits.give_back([limit], times=_leased(limit))
        if plain:
            self._limits.give_back(plain, times=times)

    async def _take(self, limit: Limit) -> tuple[Limit, ...]:
        """One permit; none of a limit that observes and is spent. Raises TooEarly, StoreUnavailable."""
        pocket = self._pocket(limit)
        if pocket.left and asyncio.get_running_loop().time() < pocket.ends_at:
            pocket.left -= 1
            return (limit,)
        async with pocket.taking:  # of many who find it empty one asks
            loop = asyncio.get_running_loop()
            if loop.time() >= pocket.ends_at:
                self._end(limit, pocket)
            if not pocket.left:
                pocket.left += await self._lease(limit)
                pocket.ends_at = loop.time() + LEASE_SECONDS
            if not pocket.left:
                return ()
            pocket.left -= 1
            return (limit,)

    async def _lease(self, limit: Limit) -> int:
        """How many permits Redis grants: a share, or the last one; 0 of a limit that observes and is spent.

        Raises TooEarly, StoreUnavailable.
        """
        share = _leased(limit)
        try:
            if (await self._limits.spend([replace(limit, cost_ms=share * limit.spent_ms)])).limits:
                return share
        except TooEarly:
            pass
        return len((await self._limits.spend([limit])).limits)

    def _pocket(self, limit: Limit) -> _Pocket:
        name = (limit.name, limit.subject)
        pocket = self._pockets.get(name)
        if pocket is None:
            if len(self._pockets) >= _MOST_POCKETS:
                self._pockets.pop(next(iter(self._pockets)))  # what it held comes back with time
            pocket = self._pockets[name] = _Pocket()
        return pocket

    def _end(self, limit: Limit, pocket: _Pocket) -> None:
        left, pocket.left = pocket.left, 0
        if left:
            self._limits.give_back([limit], times=left)


def _leased(limit: Limit) -> int:
    """How many permits of a limit are taken at once; 0 for: none ahead."""
    share = limit.burst // SHARE
    return share if share > 1 else 0
