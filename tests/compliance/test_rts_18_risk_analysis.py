"""RTS Art. 18: transaction risk analysis."""

from datetime import timedelta
from decimal import Decimal

import pytest

from sca_service.exemptions.model import Article, Condition, Context, Obstacle, PaymentType, Risk
from sca_service.exemptions.reports.quarter import day_of
from sca_service.policy.risk import Decision
from tests.exemption_office import ExemptionOffice

RULED_OUT = Risk(dict.fromkeys(Condition, False), score=3, decision=Decision.ALLOW)
MILLION_CENTS = 1_000_000


async def _rate(office: ExemptionOffice, ppm: int, kind: PaymentType = PaymentType.CARD) -> None:
    """Ninety days of payments with a fraud rate of so many millionths, and an analysis that ruled out everything."""
    office.risk.risk = RULED_OUT
    first = day_of(office.clock.now_ms()) - timedelta(days=89)
    statement = """
        INSERT INTO payment_totals (client_id, payment_type, context, day, basis, slot, payments, cents, fraud_cents)
        VALUES ($1, $2, 'remote', $3, 'sca', 0, 1, $4, $5)
    """
    await office.pool.execute(statement, office.client, kind, first, Decimal(MILLION_CENTS), Decimal(ppm))


@pytest.mark.parametrize(
    ("kind", "ppm", "euros", "next_cent"),
    [
        (PaymentType.CARD, 1_300, "100.00", "100.01"),
        (PaymentType.CARD, 600, "250.00", "250.01"),
        (PaymentType.CARD, 100, "500.00", "500.01"),
        (PaymentType.CREDIT_TRANSFER, 150, "100.00", "100.01"),
        (PaymentType.CREDIT_TRANSFER, 100, "250.00", "250.01"),
        (PaymentType.CREDIT_TRANSFER, 50, "500.00", "500.01"),
    ],
)
async def test_18_2_a_and_b_the_rate_is_at_or_below_the_reference_for_the_amount(
    office: ExemptionOffice, kind: PaymentType, ppm: int, euros: str, next_cent: str
) -> None:
    """At the reference the threshold is exempt, and a cent more is not."""
    await _rate(office, ppm, kind)
    assert (await office.assess(euros, type=kind)).assessment.article is Article.RISK_ANALYSIS
    assert not (await office.assess(next_cent, type=kind)).assessment.exempt


async def test_18_2_a_a_millionth_above_it_is_not_exempt(office: ExemptionOffice) -> None:
    """0.1301 % for a card payment of EUR 100."""
    await _rate(office, 1_301)
    assert not (await office.assess("100.00")).assessment.exempt


@pytest.mark.parametrize("condition", Condition)
@pytest.mark.parametrize("found", [True, None])
async def test_18_2_c_each_condition_has_to_be_ruled_out(
    office: ExemptionOffice, condition: Condition, found: bool | None
) -> None:
    """One that was found, and one of which nothing is known."""
    await _rate(office, 0)
    assert (await office.assess("90.00")).assessment.exempt
    office.risk.risk = Risk({**RULED_OUT.conditions, condition: found})
    reasons = (await office.assess("90.00")).assessment.reasons
    expected = Obstacle(condition.value) if found else Obstacle.FACT_MISSING
    assert expected in {one.obstacle for one in reasons if one.article is Article.RISK_ANALYSIS}


async def test_18_1_remote_payments_only(office: ExemptionOffice) -> None:
    """Not at a point of sale."""
    await _rate(office, 0)
    row = await office.assess("90.00", context=Context.CONTACTLESS, instrument="card-1")
    assert not row.assessment.exempt


@pytest.mark.parametrize("end", ["lapsed", "cancelled"])
async def test_18_2_c_an_analysis_is_one_of_its_time(office: ExemptionOffice, end: str) -> None:
    """After its time, or once it was given up, what is executed rests on nothing: the rate may be another by now."""
    await _rate(office, 0)
    held, given_up = await office.assess("90.00"), await office.assess("90.00")
    assert held.assessment.article is given_up.assessment.article is Article.RISK_ANALYSIS
    await (office.lapse(given_up) if end == "lapsed" else office.cancel(given_up))
    assert (await office.executed(held)).basis == "18"
    assert (await office.executed(given_up)).basis == "none"


async def test_18_3_the_analysis_is_on_record_with_each_decision(office: ExemptionOffice) -> None:
    """The score, every condition, and the policy that decided."""
    await _rate(office, 0)
    row = await office.assess("90.00")
    (event,) = await office.events()
    assert f'"policy":"{row.policy}"' in event.body
    assert '"score":3' in event.body
    for condition in Condition:
        assert f'"{condition}":"excluded"' in event.body
