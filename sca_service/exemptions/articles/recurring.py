"""RTS Art. 14: a series of payments with the same amount and the same payee."""

from sca_service.exemptions.model import Facts, History, Obstacle, Obstacles, Series
from sca_service.policy.exemptions import ExemptionPolicy


def recurring(facts: Facts, policy: ExemptionPolicy, history: History) -> Obstacles:
    """Not the first, and not one that differs by a cent: those are authenticated, and set the series anew."""
    payment = facts.payment
    if payment is None or payment.series is None or len(payment.payees) != 1:
        return (Obstacle.NOT_OF_THIS_KIND,)
    (payee,) = payment.payees
    if payee is None:
        return (Obstacle.FACT_MISSING,)
    if history.series is None:
        return (Obstacle.FIRST_OF_SERIES,)
    return () if history.series == Series(payment.amount, payee) else (Obstacle.SERIES_CHANGED,)
