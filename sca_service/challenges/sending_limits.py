"""Limits on what goes out: how many messages to such numbers, and how much money with each supplier."""

from msgspec.structs import replace

from sca_service.delivery.dispatch import Plan
from sca_service.kernel.errors import TooEarly
from sca_service.kernel.keyring import Keyring
from sca_service.limits.model import Limit
from sca_service.limits.redis_store import LimitStore
from sca_service.limits.subjects import Subjects, limits_on
from sca_service.policy.model import LimitedAction, LimitScope, Policy
from sca_service.policy.supply import SupplyPolicy
from sca_service.routing.model import Route

_OWN_MICROS = 1_000_000


class SendingLimits:
    """Spends the limits on sending. A class because it holds the policy and the store."""

    def __init__(self, *, policy: Policy, supply: SupplyPolicy, keyring: Keyring, limits: LimitStore) -> None:
        self._policy = policy
        self._supply = supply
        self._keyring = keyring
        self._limits = limits

    async def take(self, plan: Plan) -> tuple[Limit, ...] | None:
        """Count one message to a number, for its channel: what was spent, or None at a limit.

        A message that goes to no number counts nowhere. Raises StoreUnavailable.
        """
        if plan.number is None:
            return ()
        limits = limits_on(self._policy, self._keyring, LimitedAction.SEND, Subjects(line=plan.number))
        # Of a channel each, or the ladder would go on to the next one for nothing.
        over = plan.message.channel
        return await self._spent(tuple(replace(one, subject=f"{one.subject}-{over}") for one in limits))

    async def take_money(self, route: Route) -> tuple[Limit, ...] | None:
        """Count what a route costs, in the bank's own currency and rounded up: what was spent, or None at a limit.

        Raises StoreUnavailable.
        """
        price = route.price
        rules = [
            rule for rule in self._policy.limits_on(LimitedAction.SEND) if rule.scope is LimitScope.SUPPLIER
        ]
        if price is None or not price.micros or not rules:
            return ()
        rate = self._supply.exchange.get(price.currency, _OWN_MICROS)
        own_micros = -(-price.micros * rate // _OWN_MICROS)
        return await self._spent(
            tuple(Limit.of(rule, f"supplier-{route.supplier}", cost_micros=own_micros) for rule in rules)
        )

    def give_back(self, taken: tuple[Limit, ...]) -> None:
        """The message was surely not sent. Never raises and never waits."""
        self._limits.give_back(taken)

    async def _spent(self, limits: tuple[Limit, ...]) -> tuple[Limit, ...] | None:
        try:
            return (await self._limits.spend(limits)).limits
        except TooEarly:
            return None
