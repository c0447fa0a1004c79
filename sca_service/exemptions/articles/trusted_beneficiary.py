"""RTS Art. 13: payees on the payer's own list, which is changed with authentication only."""

from sca_service.exemptions.model import Facts, History, Obstacle, Obstacles
from sca_service.policy.exemptions import ExemptionPolicy


def trusted_beneficiary(facts: Facts, policy: ExemptionPolicy, history: History) -> Obstacles:
    """Every payee has to be on the list, known by the account."""
    payment = facts.payment
    if payment is None:
        return (Obstacle.NOT_OF_THIS_KIND,)
    if not payment.payees or None in payment.payees:
        return (Obstacle.FACT_MISSING,)
    if not history.trusted.issuperset(payment.payees):
        return (Obstacle.NOT_TRUSTED,)
    return ()
