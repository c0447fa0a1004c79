"""RTS Art. 15: credit transfers between accounts of the same person at the same bank."""

from sca_service.exemptions.model import Facts, History, Obstacle, Obstacles, PaymentType
from sca_service.policy.exemptions import ExemptionPolicy


def own_accounts(facts: Facts, policy: ExemptionPolicy, history: History) -> Obstacles:
    """The bank says of both: the payer and the payee are one person, and it holds both accounts."""
    payment = facts.payment
    if payment is None or payment.type is not PaymentType.CREDIT_TRANSFER:
        return (Obstacle.NOT_OF_THIS_KIND,)
    if payment.same_holder is None or payment.held_here is None:
        return (Obstacle.FACT_MISSING,)
    other_person = () if payment.same_holder else (Obstacle.NOT_THE_SAME_PERSON,)
    return other_person if payment.held_here else (*other_person, Obstacle.HELD_ELSEWHERE)
