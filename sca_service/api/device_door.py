"""The door of `/device/v1`: who comes with proofs that prove nothing has to wait, by the address that it comes from.

Only what fails counts, in Redis, over all processes. At the limit an address has to wait before work is done for it;
each process learns that from a failure of its own, so that a request that proves something costs nothing here.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from sca_service.kernel.addresses import Proxies
from sca_service.kernel.errors import InvalidProof, NotFound, TooEarly
from sca_service.kernel.keyring import Keyring
from sca_service.limits.model import Limit
from sca_service.limits.redis_store import LimitStore
from sca_service.limits.subjects import Subjects, limits_on
from sca_service.policy.model import LimitedAction, Policy

_MOST_WAITING: Final = 10_000
"""Of how many addresses a process remembers that they wait; of more the first are let try again."""


class DeviceDoor:
    """Lets addresses wait. A class because it remembers which."""

    def __init__(self, *, policy: Policy, keyring: Keyring, limits: LimitStore, proxies: Proxies) -> None:
        self._policy = policy
        self._keyring = keyring
        self._limits = limits
        self._proxies = proxies
        self._waits_until: dict[str, float] = {}

    def limits_of(self, peer: str, forwarded: Sequence[str]) -> tuple[Limit, ...]:
        """What counts failures of a request from there: nothing where no proxy of ours tells where that is."""
        stranger = self._proxies.stranger_behind(peer, forwarded)
        if not stranger:
            return ()
        return limits_on(self._policy, self._keyring, LimitedAction.PROVE, Subjects(address=stranger))

    @asynccontextmanager
    async def watched(self, limits: Sequence[Limit]) -> AsyncIterator[None]:
        """While a request is served: InvalidProof and NotFound count as failures.

        Raises TooEarly where the address has to wait, instead of either.
        """
        now = asyncio.get_running_loop().time()
        for limit in limits:
            seconds = self._waits_until.get(limit.subject, now) - now
            if seconds > 0:
                raise TooEarly(f"the limit {limit.name} is spent", math.ceil(seconds))
        try:
            yield
        except (InvalidProof, NotFound):
            await self.failed(limits)
            raise

    async def failed(self, limits: Sequence[Limit]) -> None:
        """Count a failure. Raises TooEarly at the limit, StoreUnavailable."""
        try:
            await self._limits.spend(limits)
        except TooEarly as wait:
            self._remember(limits, wait.retry_after_seconds)
            raise

    def _remember(self, limits: Sequence[Limit], seconds: int) -> None:
        until = asyncio.get_running_loop().time() + seconds
        for limit in limits:
            if limit.refuses:
                while len(self._waits_until) >= _MOST_WAITING:
                    del self._waits_until[next(iter(self._waits_until))]
                self._waits_until.pop(limit.subject, None)
                self._waits_until[limit.subject] = until
