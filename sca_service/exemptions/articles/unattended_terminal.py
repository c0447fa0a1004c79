"""RTS Art. 12: unattended terminals for transport fares and parking fees."""

from sca_service.exemptions.model import Context, Facts, History, Obstacle, Obstacles
from sca_service.policy.exemptions import ExemptionPolicy


def unattended_terminal(facts: Facts, policy: ExemptionPolicy, history: History) -> Obstacles:
    """For a merchant category that is a fare or a fee, whatever the amount."""
    payment = facts.payment
    if payment is None or payment.context is not Context.UNATTENDED_TERMINAL:
        return (Obstacle.NOT_OF_THIS_KIND,)
    if payment.merchant_category is None:
        return (Obstacle.FACT_MISSING,)
    if payment.merchant_category not in policy.unattended_categories:
        return (Obstacle.MERCHANT_CATEGORY,)
    return ()
