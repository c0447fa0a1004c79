"""RTS Art. 18: amount, fraud rate and conditions, each by itself enough to refuse."""

from dataclasses import replace
from typing import Any

import pytest

from sca_service.exemptions.articles.risk_analysis import risk_analysis
from sca_service.exemptions.model import (
    Condition,
    Context,
    FraudStanding,
    History,
    Obstacle,
    PaymentType,
    Risk,
)
from sca_service.policy.risk import Decision
from tests.exemption_cases import ALL_EXCLUDED, LOW_RATE, POLICY, access, payment

CARD, TRANSFER = PaymentType.CARD, PaymentType.CREDIT_TRANSFER


def judged(euros: str, **members: Any) -> tuple[Obstacle, ...]:
    """What stands against a payment that is in order otherwise."""
    facts = payment(euros, **({"risk": ALL_EXCLUDED, "fraud": LOW_RATE} | members))
    return risk_analysis(facts, POLICY, History())


def ppm(rate: int) -> FraudStanding:
    """A rate of so many millionths."""
    return replace(LOW_RATE, fraud_cents=rate, total_cents=1_000_000)


@pytest.mark.parametrize(
    ("kind", "rate", "euros", "expected"),
    [
        (CARD, 1_300, "100.00", ()),
        (CARD, 1_301, "100.00", (Obstacle.FRAUD_RATE,)),
        (CARD, 600, "100.01", ()),
        (CARD, 601, "100.01", (Obstacle.FRAUD_RATE,)),
        (CARD, 600, "250.00", ()),
        (CARD, 600, "250.01", (Obstacle.FRAUD_RATE,)),
        (CARD, 100, "250.01", ()),
        (CARD, 100, "500.00", ()),
        (CARD, 101, "500.00", (Obstacle.FRAUD_RATE,)),
        (CARD, 0, "500.01", (Obstacle.AMOUNT_OVER_ALL_BANDS,)),
        (TRANSFER, 150, "100.00", ()),
        (TRANSFER, 151, "100.00", (Obstacle.FRAUD_RATE,)),
        (TRANSFER, 200, "50.00", (Obstacle.FRAUD_RATE,)),
        (TRANSFER, 100, "250.00", ()),
        (TRANSFER, 101, "250.00", (Obstacle.FRAUD_RATE,)),
        (TRANSFER, 50, "500.00", ()),
        (TRANSFER, 51, "500.00", (Obstacle.FRAUD_RATE,)),
        (TRANSFER, 0, "500.01", (Obstacle.AMOUNT_OVER_ALL_BANDS,)),
    ],
)
def test_each_band_has_its_reference(
    kind: PaymentType, rate: int, euros: str, expected: tuple[Obstacle, ...]
) -> None:
    """Art. 18(2)(a) and (b), Annex: at the reference it is exempt, a millionth above it is not."""
    assert judged(euros, type=kind, fraud=ppm(rate)) == expected


@pytest.mark.parametrize("condition", Condition)
def test_each_condition_by_itself_is_enough(condition: Condition) -> None:
    """Art. 18(2)(c)(i) to (vi)."""
    risk = Risk(dict.fromkeys(Condition, False) | {condition: True})
    assert judged("10", risk=risk) == (Obstacle(condition.value),)


@pytest.mark.parametrize("condition", Condition)
def test_a_condition_that_is_not_known_cannot_be_excluded(condition: Condition) -> None:
    """Left out, or said to be unknown."""
    known = {one: False for one in Condition if one is not condition}
    assert judged("10", risk=Risk(known)) == (Obstacle.FACT_MISSING,)
    assert judged("10", risk=Risk({**known, condition: None})) == (Obstacle.FACT_MISSING,)


@pytest.mark.parametrize("decision", [one for one in Decision if one is not Decision.ALLOW])
def test_a_score_that_asks_for_more_is_no_low_risk(decision: Decision) -> None:
    """Art. 18(1): a compromised element or a screen that is shared is none of the six conditions, and no low risk."""
    assert judged("10", risk=replace(ALL_EXCLUDED, decision=decision)) == (Obstacle.RISK_SCORE,)
    assert judged("10", risk=replace(ALL_EXCLUDED, decision=None)) == (Obstacle.FACT_MISSING,)


def test_without_any_risk_analysis_nothing_is_exempt() -> None:
    """The default of a fact is that it is not known."""
    facts = payment("1")
    assert risk_analysis(facts, POLICY, History()) == (Obstacle.FRAUD_RATE_UNKNOWN, Obstacle.FACT_MISSING)


@pytest.mark.parametrize(
    "standing",
    [
        FraudStanding(),
        replace(LOW_RATE, days=89),
        replace(LOW_RATE, total_cents=0),
        FraudStanding(fraud_cents=5, total_cents=0, days=90),
    ],
)
def test_a_rate_that_is_not_known_is_no_low_rate(standing: FraudStanding) -> None:
    """Without payments, or without 90 days of them."""
    assert judged("10", fraud=standing) == (Obstacle.FRAUD_RATE_UNKNOWN,)


def test_a_band_that_has_ceased_is_closed_and_the_others_are_not() -> None:
    """Art. 20: for the threshold concerned."""
    standing = replace(LOW_RATE, stopped=frozenset({25_000}))
    assert judged("100.00", fraud=standing) == ()
    assert judged("100.01", fraud=standing) == (Obstacle.STOPPED,)
    assert judged("250.01", fraud=standing) == ()


def test_everything_that_speaks_against_it_is_told() -> None:
    """Whoever asks why gets all of it."""
    risk = Risk({Condition.MALWARE: True})
    assert judged("10", risk=risk, fraud=ppm(5_000)) == (
        Obstacle.FRAUD_RATE,
        Obstacle.MALWARE,
        Obstacle.FACT_MISSING,
    )


@pytest.mark.parametrize("context", [Context.CONTACTLESS, Context.UNATTENDED_TERMINAL])
def test_only_remote_payments_are_analysed(context: Context) -> None:
    """Art. 18(1): a remote electronic payment transaction."""
    assert judged("10", context=context) == (Obstacle.NOT_OF_THIS_KIND,)
    assert risk_analysis(access(), POLICY, History()) == (Obstacle.NOT_OF_THIS_KIND,)


def test_every_condition_is_an_obstacle_too() -> None:
    """The words agree, since one is made of the other."""
    assert {condition.value for condition in Condition} <= {obstacle.value for obstacle in Obstacle}
