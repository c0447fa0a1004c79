"""The worker's lane for alerts: beside that for codes, and no faster than the policy lets one worker be."""

import asyncio
from typing import Final

LANE: Final = 0
"""Alerts are in no partition of a payer: the dispatcher knows them as one."""
_BURST_SECONDS: Final = 0.25
"""What was not used of the rate may be caught up with for so long."""


class Rounds:
    """The lane's signal: there is none, alerts are looked for by the clock. A class because a dispatcher asks one."""

    async def wait(self, seconds: float) -> set[int]:
        """Wait so long; names nothing."""
        await asyncio.sleep(seconds)
        return set()


class Rate:
    """How many alerts a worker may begin now. A class because it remembers; it reads no clock: `now` is in seconds."""

    def __init__(self, most_per_second: int) -> None:
        self._most_per_second = most_per_second
        self._left = 0.0
        self._at = 0.0

    def allows(self, now: float) -> int:
        """How many may begin now."""
        most = max(self._most_per_second * _BURST_SECONDS, 1.0)
        self._left = min(self._left + (now - self._at) * self._most_per_second, most)
        self._at = now
        return int(self._left)

    def spend(self, count: int) -> None:
        """So many begin."""
        self._left -= count
