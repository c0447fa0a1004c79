"""RTS Art. 16: remote payments of low value."""

from sca_service.exemptions.articles.counter import over_the_limits
from sca_service.exemptions.model import Context, Facts, History, Obstacle, Obstacles
from sca_service.policy.exemptions import ExemptionPolicy


def low_value(facts: Facts, policy: ExemptionPolicy, history: History) -> Obstacles:
    """At most EUR 30, and EUR 100 or five payments of the payer since the last authentication."""
    payment = facts.payment
    if payment is None or payment.context is not Context.REMOTE:
        return (Obstacle.NOT_OF_THIS_KIND,)
    return over_the_limits(payment.cents, policy.low_value, history.low_value, payees=len(payment.payees))
