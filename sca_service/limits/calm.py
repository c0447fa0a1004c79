"""Whether the limits on a client's answers are far from spent: then an answer is looked at before it is counted.

While no limit of a client is more than half spent, only what turned out wrong is counted (docs/decisions/0024).
That is known as of a moment ago: what Redis says is believed for `TRUSTED_SECONDS`. Half a limit would have to be
spent in that time before anything could slip past it. It is asked anew before that is over, so that where answers keep
coming none of them waits for it.
"""

import asyncio
from typing import Final, Protocol

from sca_service.kernel.batching import unheard
from sca_service.kernel.keyring import Keyring
from sca_service.limits.subjects import answers_slot

TRUSTED_SECONDS: Final = 0.02
_FRESH_SECONDS: Final = TRUSTED_SECONDS / 2
_NEVER: Final = (float("-inf"), False)


class Pressure(Protocol):
    """Knows which limits are more than half spent."""

    async def is_pressed(self, slot: str) -> bool:
        """Whether any of the limits that lie together there is. Raises StoreUnavailable."""


class Calm:
    """What is known of the limits on clients' answers. A class because it holds that, and whom it is asking."""

    def __init__(self, store: Pressure, keyring: Keyring) -> None:
        self._store = store
        self._keyring = keyring
        self._known: dict[str, tuple[float, bool]] = {}
        self._asking: dict[str, asyncio.Task[bool]] = {}

    async def holds(self, client: str) -> bool:
        """Whether no limit on this client's answers is more than half spent. Raises StoreUnavailable."""
        known_at, is_calm = self._known.get(client, _NEVER)
        age_seconds = asyncio.get_running_loop().time() - known_at
        if age_seconds < _FRESH_SECONDS:
            return is_calm
        asking = self._asking.get(client)
        if asking is None:
            asking = self._asking[client] = asyncio.get_running_loop().create_task(self._ask(client))
            unheard(asking)
        if age_seconds < TRUSTED_SECONDS:
            return is_calm
        return await asyncio.shield(asking)  # others wait for it too

    def ends(self, client: str) -> None:
        """One of them is more than half spent: nobody here has to ask."""
        self._known[client] = asyncio.get_running_loop().time(), False

    async def _ask(self, client: str) -> bool:
        asked_at = asyncio.get_running_loop().time()
        try:
            is_calm = not await self._store.is_pressed(answers_slot(self._keyring, client))
            known_at, _ = self._known.get(client, _NEVER)
            if known_at >= asked_at:  # it ended here while Redis was asked
                return False
            self._known[client] = asked_at, is_calm
            return is_calm
        finally:
            del self._asking[client]
