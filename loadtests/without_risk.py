"""The api with nobody who assesses: what an issue and a verify take when risk takes nothing. To measure by only."""

import asyncio
from unittest.mock import patch

from sca_service.cli import main
from sca_service.core import Core
from sca_service.policy.risk import Decision
from sca_service.risk.facts import RiskOrder
from sca_service.risk.model import Assessed, Assessment, Facts

_CALM = Assessed(
    Facts(purpose="payment", hour_utc=0),
    Assessment(Decision.CHALLENGE, 0, (), (), (), frozenset(), frozenset(), ""),
)


class Calm:
    """Finds nothing, remembers nothing, and asks nobody."""

    async def assess(self, order: RiskOrder) -> Assessed:
        """Nothing speaks against it."""
        return _CALM

    def approved(self, order: RiskOrder) -> "asyncio.Future[None]":
        """Nothing is learned."""
        learned: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        learned.set_result(None)
        return learned


if __name__ == "__main__":
    with patch.object(Core, "assessor", lambda _: Calm()):
        main()
