"""Limits on sending for tests of those who send."""

from sca_service.delivery.dispatch import Plan
from sca_service.routing.model import Route


class Unlimited:
    """A policy without limits on sending."""

    async def take(self, _: Plan) -> tuple[str, ...] | None:
        """It may be sent."""
        return ()

    async def take_money(self, _: Route) -> tuple[str, ...] | None:
        """It may be paid for."""
        return ()

    def give_back(self, taken: tuple[str, ...]) -> None:
        """Nothing was counted."""
        assert not taken
