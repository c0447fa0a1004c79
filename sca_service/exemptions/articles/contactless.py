"""RTS Art. 11: contactless payments at a point of sale."""

from sca_service.exemptions.articles.counter import over_the_limits
from sca_service.exemptions.model import Context, Facts, History, Obstacle, Obstacles
from sca_service.policy.exemptions import ExemptionPolicy


def contactless(facts: Facts, policy: ExemptionPolicy, history: History) -> Obstacles:
    """At most EUR 50, and EUR 150 or five payments with the instrument since the last authentication."""
    payment = facts.payment
    if payment is None or payment.context is not Context.CONTACTLESS:
        return (Obstacle.NOT_OF_THIS_KIND,)
    if payment.instrument is None:  # nobody knows whose counter it is
        return (Obstacle.FACT_MISSING,)
    return over_the_limits(payment.cents, policy.contactless, history.contactless, payees=len(payment.payees))
