"""The worker's look at cards: a charge comes into its days, or its day is over, without anybody calling."""

import asyncio
from typing import Final, Protocol

import structlog

from sca_service.kernel.errors import StoreUnavailable

ROUND_SECONDS: Final = 1.0
"""How long nobody looks where nothing was due; a charge comes into its days at a full hour."""
MOST_AT_ONCE: Final = 200
"""Cards of one round without a pause: codes are never kept waiting for the connection for long."""

log = structlog.get_logger()


class Looks(Protocol):
    """Decides on what is due."""

    async def look(self) -> bool:
        """Decide on the card that has been due longest; False when none is. Raises StoreUnavailable."""


class CardWatch:
    """Looks at what is due. A class because it holds the desk."""

    def __init__(self, desk: Looks) -> None:
        self._desk = desk

    async def run(self, stop: asyncio.Event) -> None:
        """Look until told to stop; a store that is away is asked again."""
        while not stop.is_set():
            looked = 0
            try:
                while looked < MOST_AT_ONCE and not stop.is_set() and await self._desk.look():
                    looked += 1
            except StoreUnavailable:
                log.warning("cards.not_looked_at")
            except Exception as error:  # the worker loop lives on (style, rule 10)
                log.error("cards.look_failed", exc=error)
            if looked < MOST_AT_ONCE:
                await _pause(stop)


async def _pause(stop: asyncio.Event) -> None:
    """Wait for the next round, or until told to stop."""
    try:
        async with asyncio.timeout(ROUND_SECONDS):
            await stop.wait()
    except TimeoutError:
        return
