"""Long work in the event loop of a process that answers others meanwhile: in stretches, which take turns.

Whoever verifies a code waits for no more than one stretch, whoever works long is held up for no more than a moment by
each of its stretches: neither starves.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

PATIENCE_SECONDS: Final = 0.005
"""How long a stretch stands back for prompt requests, at most."""


class Turns:
    """Gives out turns, first come, first served. A class because it knows who is to be answered promptly."""

    def __init__(self, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._patience_seconds = patience_seconds
        self._next = asyncio.Lock()
        self._prompt = 0
        self._is_calm = asyncio.Event()
        self._is_calm.set()

    @contextmanager
    def promptly(self) -> Iterator[None]:
        """Meanwhile a request is under way for which long work stands back."""
        self._prompt += 1
        self._is_calm.clear()
        try:
            yield
        finally:
            self._prompt -= 1
            if not self._prompt:
                self._is_calm.set()

    async def turn(self) -> None:
        """Wait for the next turn: what runs until the caller waits again is one stretch.

        There is one in a round of the event loop, and none while a prompt request is under way, unless that takes
        longer than patience lasts.
        """
        async with self._next:
            await asyncio.sleep(0)
            if not self._prompt:
                return
            try:
                async with asyncio.timeout(self._patience_seconds):
                    await self._is_calm.wait()
            except TimeoutError:
                return
