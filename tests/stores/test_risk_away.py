"""Risk without Redis: nobody is let through, nothing is issued, and no answer fails for what cannot be learned."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from sca_service.challenges.redis_store import ChallengeStore
from sca_service.challenges.risk import learn, learn_disowned
from sca_service.challenges.view import ChallengeView
from sca_service.exemptions.analysis import RiskAnalysis
from sca_service.exemptions.desk import ExemptionDesk
from sca_service.exemptions.postgres_store import AssessmentStore
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.keyring import Keyring
from sca_service.risk.assessor import Assessor
from sca_service.risk.camara import NobodyAsked
from sca_service.risk.redis_store import RiskStore
from tests.erasure_office import Office
from tests.exemption_office import POLICY, ExemptionOffice, order
from tests.ports import free_port


@pytest.fixture
async def away(keyring: Keyring) -> AsyncIterator[Assessor]:
    """Who assesses where no Redis listens."""
    redis = RedisConnection(f"redis://127.0.0.1:{free_port()}")
    yield Assessor(
        POLICY,
        store=RiskStore(redis, POLICY.risk.memory),
        failures=ChallengeStore(redis),
        desk=NobodyAsked(),
        keyring=keyring,
        clock=SystemClock(),
    )
    await redis.close()


async def test_without_its_memory_nothing_is_exempt(
    away: Assessor, pool: asyncpg.Pool, keyring: Keyring
) -> None:
    """Neither reserved nor on record: the bank hears 503, and authenticates."""
    office = ExemptionOffice(pool, keyring)
    desk = ExemptionDesk(
        policy=POLICY,
        keyring=keyring,
        store=AssessmentStore(pool),
        risk=RiskAnalysis(away, keyring),
        fraud=office.figures,
        challenges=office.challenges,
        clock=office.clock,
    )
    with pytest.raises(StoreUnavailable):
        await desk.assess(office.whose, order("10.00"))
    assert await office.events() == []


@pytest.mark.parametrize("is_disowned", [False, True])
async def test_what_cannot_be_learned_fails_no_answer(
    away: Assessor, office: Office, keyring: Keyring, is_disowned: bool
) -> None:
    """An approval that is on record stands, and so does a "not me"."""
    challenge, _ = await office.challenged("cust-away")
    state = await office.store.get(challenge)
    assert state is not None
    view = ChallengeView.open(state, keyring)
    if is_disowned:
        await learn_disowned(away, view)
    else:
        learn(away, view)
