"""Who assesses, on the real Valkey: counted and judged in one step, and learned from what was approved alone."""

import asyncio
import secrets
from dataclasses import replace
from datetime import date

import pytest
from msgspec import structs

from sca_service.challenges.redis_store import ChallengeStore
from sca_service.exemptions.analysis import RiskAnalysis
from sca_service.exemptions.desk import Whose
from sca_service.exemptions.model import Condition
from sca_service.kernel.account import Account
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.money import Amount
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.transaction import Payee, Transaction
from sca_service.policy.model import Policy
from sca_service.policy.risk import Decision, LineQuestion, Thresholds
from sca_service.policy.words import Purpose
from sca_service.risk.assessor import Assessor
from sca_service.risk.facts import Marks, RiskOrder
from sca_service.risk.model import AnswerState, LineAnswer
from sca_service.risk.redis_store import (
    RiskStore,
)
from tests.exemption_office import order as payment_order
from tests.storeroom import new_payer
from tests.unit.risk.examples import SHIPPED

RACERS = 50


@pytest.fixture
def store(redis: RedisConnection) -> RiskStore:
    """What learns."""
    return RiskStore(redis, SHIPPED.risk.memory)


def pseudonym() -> str:
    """A name that no other test has."""
    return secrets.token_hex(16)


class SilentDesk:
    """Operators of whom one question is never answered."""

    async def ask(self, number: PhoneNumber, *, known_since: date | None) -> dict[LineQuestion, LineAnswer]:
        """Every answer is missing."""
        return dict.fromkeys(LineQuestion, LineAnswer(AnswerState.NO_ANSWER))


def risk_order(device: str, iban: str = "DE89370400440532013000", amount: str = "250.00") -> RiskOrder:
    """A payment of one and the same payer."""
    return RiskOrder(
        client="bank",
        payer="0b" * 16,
        purpose=Purpose.PAYMENT,
        marks=Marks(device_id=device, ip="203.0.113.7", payer_country="DE"),
        transaction=Transaction.payment(
            amount=Amount.parse(currency="EUR", amount=amount), payee=Payee("ACME", Account(iban=iban))
        ),
        phone=PhoneNumber.parse("+4915112345678"),
    )


def _assessor(
    store: RiskStore, redis: RedisConnection, keyring: Keyring, policy: Policy = SHIPPED
) -> Assessor:
    """Who assesses, with operators who are silent."""
    return Assessor(
        policy,
        store=store,
        failures=ChallengeStore(redis),
        desk=SilentDesk(),
        keyring=keyring,
        clock=SystemClock(),
    )


async def test_what_was_approved_is_known_and_what_was_only_asked_is_not(
    store: RiskStore, redis: RedisConnection, keyring: Keyring
) -> None:
    """A stranger's second try is as new as the first; the policy on trial is reported, and decides nothing."""
    shipped = SHIPPED
    trial = replace(shipped.risk, thresholds=Thresholds(1, 2, 3), digest="sha256:trial")
    assessor = _assessor(store, redis, keyring, replace(shipped, next_risk=trial))
    home, stranger = risk_order("home"), risk_order("stranger", "FR1420041010050500013M02606", "900.00")
    await store.forget(home.payer)
    for _ in range(6):
        await assessor.assess(home)
        await assessor.approved(home)
    known = (await assessor.assess(home)).facts
    assert (known.device_new, known.payee_new, known.payer_payments) == (False, False, 6)
    assert known.amount_deviation == 0
    for _ in range(2):
        assessed = await assessor.assess(stranger)
        assert {"new_device", "first_payment_to_payee", "amount_unusual", "operator_silent"} <= set(
            assessed.applied.words
        )
        assert assessed.applied.decision is Decision.STEP_UP
        assert assessed.applied.digest == shipped.risk.digest
        assert assessed.shadow is not None
        assert (assessed.shadow.decision, assessed.shadow.digest) == (Decision.REFUSE, "sha256:trial")
        assert assessed.shadow.score == assessed.applied.score


@pytest.mark.race
async def test_of_many_requests_at_once_each_sees_the_others_and_not_itself(
    store: RiskStore, redis: RedisConnection, keyring: Keyring
) -> None:
    """Fifty at once: none before the first, forty-nine before the last, of the payer and of all it comes from."""
    assessor = _assessor(store, redis, keyring)
    one = structs.replace(risk_order(pseudonym(), pseudonym()), payer=new_payer())
    found = [
        assessed.facts for assessed in await asyncio.gather(*(assessor.assess(one) for _ in range(RACERS)))
    ]
    assert sorted(facts.payer_requests_hour for facts in found) == list(range(RACERS))
    assert sorted(facts.device_requests_hour or 0 for facts in found) == list(range(RACERS))
    assert sorted(facts.payee_requests_hour or 0 for facts in found) == list(range(RACERS))
    assert {facts.payer_amount_day_minor for facts in found} == {25_000 * count for count in range(RACERS)}


async def test_a_payers_wrong_answers_are_a_fact(
    store: RiskStore, redis: RedisConnection, keyring: Keyring
) -> None:
    """Those in a row, from where the challenges count them; none is a fact too."""
    assessor, one = _assessor(store, redis, keyring), structs.replace(risk_order("d"), payer=new_payer())
    assert (await assessor.assess(one)).facts.payer_failures == 0
    await redis.command("HSET", *ChallengeStore(redis).failures_at(one.payer), 4)
    assert (await assessor.assess(one)).facts.payer_failures == 4


async def test_a_login_without_anything_is_assessed(
    store: RiskStore, redis: RedisConnection, keyring: Keyring
) -> None:
    """No phone, no transaction, no marks: nobody is asked, and nothing is found."""
    assessor = _assessor(store, redis, keyring)
    bare = RiskOrder("bank", new_payer(), Purpose.LOGIN, Marks())
    await assessor.approved(bare)
    assessed = await assessor.assess(bare)
    assert (assessed.applied.decision, assessed.applied.score, assessed.shadow) == (Decision.ALLOW, 0, None)
    assert assessed.facts.sim_swap_answer == "not_asked"


@pytest.mark.race
async def test_of_many_exempt_payments_at_once_each_sees_the_others(
    store: RiskStore, redis: RedisConnection, keyring: Keyring
) -> None:
    """What is exempt never becomes a challenge: twenty at once, and no more than the policy lets pass look normal."""
    analysis = RiskAnalysis(_assessor(store, redis, keyring), keyring)
    whose = Whose("bank", f"flood-{pseudonym()}", {})
    order = payment_order("90.00", marks=Marks(device_id="d", ip="203.0.113.9"))
    risks = await asyncio.gather(*(analysis.analyse(whose, order) for _ in range(20)))
    found = [risk.found(Condition.ABNORMAL_SPENDING) for risk in risks]
    assert found.count(True) == 12  # more than eight within the hour
    assert risks[-1].record is not None
    assert "many-requests" in risks[-1].record.reasons
