"""Cases for the exemptions: a payment or an access that is in order, to be changed by one fact at a time."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from sca_service.exemptions.model import (
    AccessFacts,
    Condition,
    Context,
    Facts,
    FraudStanding,
    PaymentFacts,
    PaymentType,
    Risk,
    Shown,
)
from sca_service.kernel.money import Amount
from sca_service.policy.exemptions import Article, CounterMode, Counting, ExemptionPolicy
from sca_service.policy.load import load
from sca_service.policy.risk import Decision

POLICY = load(Path(__file__).resolve().parents[1] / "policies").exemptions
NOW_MS = 1_795_000_000_000
DAY_MS = 86_400_000
ALL_EXCLUDED = Risk(dict.fromkeys(Condition, False), score=7, decision=Decision.ALLOW)
LOW_RATE = FraudStanding(fraud_cents=0, total_cents=1_000_000_00, days=90)


def cents(euros: str | float) -> int:
    """Euros as cents, exactly."""
    return int(Decimal(str(euros)) * 100)


def payment(euros: str | float = "10.00", **members: Any) -> Facts:
    """A remote card payment to one payee, of which nothing more is known than has to be."""
    minor = cents(euros)
    facts = PaymentFacts(
        type=PaymentType.CARD,
        context=Context.REMOTE,
        amount=Amount("EUR", minor),
        cents=minor,
        payees=("payee-a",),
    )
    return Facts(NOW_MS, payment=replace(facts, **members))


def access(shows: Shown = Shown.BALANCE, **members: Any) -> Facts:
    """A look at an account."""
    return Facts(NOW_MS, access=AccessFacts(shows, **members))


def policy(
    *order: Article, mode: CounterMode = CounterMode.AMOUNT, counting: Counting = Counting.WITH_CURRENT
) -> ExemptionPolicy:
    """The shipped policy with this order, and its counters as said."""
    return replace(
        POLICY,
        order=order or POLICY.order,
        contactless=replace(POLICY.contactless, mode=mode, counting=counting),
        low_value=replace(POLICY.low_value, mode=mode, counting=counting),
    )
