"""The guard's blocks where messages are sent that nobody answers: not counted, but kept back where a block stands.

An alert carries no code, so no approval would ever set its count back: honest alerts would use up the budgets, and keep
codes from being sent. Only blocks of ranges are heeded: that of a country would silence every notice there.
"""

from dataclasses import replace
from typing import Final

import structlog

from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import PhoneNumber
from sca_service.limits.pumping.model import PumpingReason, asked_of, is_never_sent_to
from sca_service.limits.pumping.redis_store import PumpingStore
from sca_service.policy.pumping import AtBlock, PumpingPolicy, PumpingScope

_RANGES: Final = (PumpingScope.NEIGHBOURS, PumpingScope.PREFIX)

log = structlog.get_logger()


class StandingBlocks:
    """Asks what stands. A class because it holds the store."""

    def __init__(
        self, *, policy: PumpingPolicy, at_block: AtBlock, keyring: Keyring, store: PumpingStore
    ) -> None:
        """`at_block` is what holds in this deployment."""
        self._policy = policy
        self._at_block = at_block
        self._keyring = keyring
        self._store = store

    async def keeps_back(self, number: PhoneNumber, *, client: str) -> bool:
        """Whether nothing is sent to a number for a client: it is of a range that nothing is sent to, or blocked.

        A line that has approved before is sent to, as the guard does. Raises StoreUnavailable.
        """
        if self._at_block is AtBlock.OFF:
            return False
        why = await self._against(number, client)
        if why and self._at_block is AtBlock.OBSERVE:
            log.info("pumping.observed", reason=why)
            return False
        return why is not None

    async def _against(self, number: PhoneNumber, client: str) -> PumpingReason | None:
        if is_never_sent_to(number.e164, self._policy.never_sent_to):
            return PumpingReason.RANGE
        asked = asked_of(number, ip="", client=client, keyring=self._keyring)
        if await self._store.knows(asked.line):
            return None
        ranges = tuple(subject for subject in asked.subjects if subject.scope in _RANGES)
        return await self._store.standing(replace(asked, subjects=ranges))
