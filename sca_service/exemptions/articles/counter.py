"""What the counters of RTS Art. 11 and 16 allow. Pure."""

from sca_service.exemptions.model import Counter, Obstacle, Obstacles
from sca_service.policy.exemptions import CounterMode, CounterRule, Counting


def over_the_limits(cents: int, rule: CounterRule, counter: Counter, *, payees: int = 1) -> Obstacles:
    """What a payment of so many cents of a euro exceeds, after what is counted already.

    One of the two counters counts, as the policy says (EBA-Op-2018-04, paragraph 43; Q&A 2018_4225). Read strictly,
    the payment itself counts too; to the letter only "previous" ones do. Where payments are counted a batch is never
    within: the articles count individual ones, and a place in a counter is one.
    """
    single = (Obstacle.SINGLE_AMOUNT,) if cents > rule.single_cents else ()
    is_strict = rule.counting is Counting.WITH_CURRENT
    if rule.mode is CounterMode.AMOUNT:
        cumulative = counter.cents + cents if is_strict else counter.cents
        return (*single, Obstacle.CUMULATIVE_AMOUNT) if cumulative > rule.cumulative_cents else single
    count = counter.count + 1 if is_strict else counter.count
    return (*single, Obstacle.CONSECUTIVE_COUNT) if count > rule.count or payees > 1 else single
