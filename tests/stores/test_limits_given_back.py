"""What was spent for a challenge that is not issued, because a store failed in between, is given back."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from sca_service.challenges.issue import Caller, Issuer
from sca_service.challenges.order import ChallengeOrder, WantedStep
from sca_service.challenges.pumping import PumpingGuard
from sca_service.challenges.view import ChallengeView
from sca_service.core import Core, open_core
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import StoreUnavailable, TooEarly
from sca_service.kernel.phone import PhoneNumber
from sca_service.limits.pumping.redis_store import PumpingStore
from sca_service.limits.redis_store import LimitStore
from sca_service.policy.model import Channel, LimitedAction, LimitScope, Purpose
from sca_service.policy.pumping import AtBlock
from sca_service.settings import read_settings
from tests.harness import Deployment, unique_psu
from tests.ports import free_port


@dataclass(frozen=True, slots=True)
class Bench:
    """Issues over the stores; the guard's own may be away."""

    core: Core
    away: RedisConnection

    async def issue(self, phone: str, *, guard_is_away: bool) -> ChallengeView:
        """A challenge of a payer of its own."""
        keyring, policy = self.core.settings.keyring, self.core.policy
        redis = self.away if guard_is_away else self.core.redis
        issuer = Issuer(
            policy=policy,
            keyring=keyring,
            store=self.core.store,
            limits=LimitStore(self.core.redis),
            recorder=self.core.recorder,
            asker=self.core.asker(),
            assessor=self.core.assessor(),
            guard=PumpingGuard(
                policy=policy.pumping,
                at_block=AtBlock.REFUSE,
                keyring=keyring,
                store=PumpingStore(redis, policy.pumping),
                recorder=self.core.recorder,
            ),
        )
        order = ChallengeOrder(
            psu_id=unique_psu()["id"],
            purpose=Purpose.LOGIN,
            phone=PhoneNumber.parse(phone),
            channels=(WantedStep(Channel.SMS),),
        )
        return await issuer.issue(Caller("bank", "req_bench"), order)


@pytest.fixture
async def bench(quiet_stores: Deployment) -> AsyncIterator[Bench]:
    """Over stores that no role works on."""
    async with open_core(read_settings(quiet_stores.config(1))) as core:
        away = RedisConnection(f"redis://127.0.0.1:{free_port()}/0")
        yield Bench(core, away)
        await away.close()


async def test_what_was_spent_is_given_back_when_the_guard_cannot_be_asked(bench: Bench) -> None:
    """Twice as often as the phone line's limit allows; then the line has all of it still."""
    (most,) = [
        rule.burst
        for rule in bench.core.policy.limits_on(LimitedAction.ISSUE)
        if rule.scope is LimitScope.PHONE
    ]
    phone = unique_psu()["phone"]
    for _ in range(2 * most):
        with pytest.raises(StoreUnavailable):
            await bench.issue(phone, guard_is_away=True)
    for _ in range(most):
        await bench.issue(phone, guard_is_away=False)
    with pytest.raises(TooEarly):
        await bench.issue(phone, guard_is_away=False)
