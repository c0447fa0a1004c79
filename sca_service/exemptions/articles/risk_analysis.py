"""RTS Art. 18: transaction risk analysis of remote payments, within the fraud rates of Art. 19 and 20."""

from sca_service.exemptions.model import (
    Condition,
    Context,
    Facts,
    FraudStanding,
    History,
    Obstacle,
    Obstacles,
    Risk,
)
from sca_service.exemptions.reports.fraud_rate import FraudRate
from sca_service.policy.exemptions import Band, ExemptionPolicy
from sca_service.policy.risk import Decision


def risk_analysis(facts: Facts, policy: ExemptionPolicy, history: History) -> Obstacles:
    """Up to a threshold, while the fraud rate is at or below its reference, and with each condition ruled out."""
    payment = facts.payment
    if payment is None or payment.context is not Context.REMOTE:
        return (Obstacle.NOT_OF_THIS_KIND,)
    rule = policy.risk_analysis
    band = rule.band(payment.type, payment.cents)
    against_rate = (
        (Obstacle.AMOUNT_OVER_ALL_BANDS,)
        if band is None
        else _above_the_rate(band, rule.history_days, payment.fraud)
    )
    return (*against_rate, *(_not_ruled_out(payment.risk) or _not_low(payment.risk)))


def _above_the_rate(band: Band, history_days: int, standing: FraudStanding) -> Obstacles:
    if standing.days < history_days or not standing.total_cents:
        return (Obstacle.FRAUD_RATE_UNKNOWN,)
    if band.most_cents in standing.stopped:
        return (Obstacle.STOPPED,)
    rate = FraudRate(standing.fraud_cents, standing.total_cents)
    return () if rate.is_within(band.reference_ppm) else (Obstacle.FRAUD_RATE,)


def _not_ruled_out(risk: Risk) -> Obstacles:
    """The conditions of Art. 18(2)(c) that were found, and once that some are not known."""
    found = tuple(Obstacle(condition.value) for condition in Condition if risk.found(condition))
    is_missing = any(risk.found(condition) is None for condition in Condition)
    return (*found, Obstacle.FACT_MISSING) if is_missing else found


def _not_low(risk: Risk) -> Obstacles:
    """Whether the score asks for more than nothing, for whatever it is made of (Art. 18(1) and (3)): low risk only."""
    if risk.decision is None:
        return (Obstacle.FACT_MISSING,)
    return () if risk.decision is Decision.ALLOW else (Obstacle.RISK_SCORE,)
