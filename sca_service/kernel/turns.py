"""Long work in the event loop of a process that answers others meanwhile: in stretches, which take turns.

Whoever verifies a code waits for no more than one stretch, whoever works long is held up for no more than a moment by
each of its stretches: neither starves.
"""

import asyncio
from contextlib import AbstractContextManager
from typing import Final

PATIENCE_SECONDS: Final = 0.005
"""How long a stretch stands back for prompt requests, at most."""


class Turns:
    """Gives out turns, first come, first served. A class because it knows who is to be answered promptly."""

    def __init__(self, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._patience_seconds = patience_seconds
        self._next = asyncio.Lock()
        self._prompt = _Prompt()

    def promptly(self) -> AbstractContextManager[None]:
        """Meanwhile a request is under way for which long work stands back."""
        return self._prompt

    async def turn(self) -> None:
        """Wait for the next turn: what runs until the caller waits again is one stretch.

        There is one in a round of the event loop, and none while a prompt request is under way, unless that takes
        longer than patience lasts.
        """
        async with self._next:
            await asyncio.sleep(0)
            if self._prompt.is_over.is_set():
                return
            try:
                async with asyncio.timeout(self._patience_seconds):
                    await self._prompt.is_over.wait()
            except TimeoutError:
                return


class _Prompt(AbstractContextManager[None]):
    """Counts the prompt requests under way. One for all of them: a generator for each would cost ten times as much."""

    def __init__(self) -> None:
        self._under_way = 0
        self.is_over = asyncio.Event()
        self.is_over.set()

    def __enter__(self) -> None:
        self._under_way += 1
        self.is_over.clear()

    def __exit__(self, *_: object) -> None:
        self._under_way -= 1
        if not self._under_way:
            self.is_over.set()
