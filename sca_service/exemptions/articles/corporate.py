"""RTS Art. 17: dedicated payment processes of legal persons, with which the authority is satisfied."""

from sca_service.exemptions.model import Facts, History, Obstacle, Obstacles
from sca_service.policy.exemptions import ExemptionPolicy


def corporate(facts: Facts, policy: ExemptionPolicy, history: History) -> Obstacles:
    """Through a process that the policy names with its evidence, by a payer who is no consumer."""
    payment = facts.payment
    if payment is None or payment.process is None:
        return (Obstacle.NOT_OF_THIS_KIND,)
    if not policy.corporate.evidence.strip() or payment.process not in policy.corporate.processes:
        return (Obstacle.NO_CORPORATE_PROCESS,)
    if payment.payer_is_consumer is None:
        return (Obstacle.FACT_MISSING,)
    return (Obstacle.NO_CORPORATE_PROCESS,) if payment.payer_is_consumer else ()
