"""RTS Art. 10: the payer looks at the balance or at the transactions of the last 90 days."""

from sca_service.exemptions.model import AccessFacts, Facts, History, Obstacle, Obstacles, Shown
from sca_service.policy.exemptions import AccessRule, ExemptionPolicy

_DAY_MS = 86_400_000


def account_access(facts: Facts, policy: ExemptionPolicy, history: History) -> Obstacles:
    """Not at the first access, and not more than 180 days after the last authentication (Art. 10(2))."""
    access = facts.access
    if access is None or access.aisp is not None:
        return (Obstacle.NOT_OF_THIS_KIND,)
    return (
        *beyond_what_is_shown(access, policy.access),
        *without_authentication(facts.at_ms, policy.access, history),
    )


def beyond_what_is_shown(access: AccessFacts, rule: AccessRule) -> Obstacles:
    """What an access shows besides the balance and recent transactions (Art. 10(1) and 10a(1))."""
    match access.shows:
        case Shown.BALANCE:
            return ()
        case Shown.MORE:
            return (Obstacle.SHOWS_TOO_MUCH,)
    if access.oldest_days is None:
        return (Obstacle.FACT_MISSING,)
    return (Obstacle.SHOWS_TOO_MUCH,) if access.oldest_days > rule.oldest_days else ()


def without_authentication(at_ms: int, rule: AccessRule, history: History) -> Obstacles:
    """Whether the last authentication is missing or too old: 180 days to the millisecond are not too old."""
    if history.authenticated_at_ms is None:
        return (Obstacle.FIRST_ACCESS,)
    if at_ms - history.authenticated_at_ms > rule.sca_every_days * _DAY_MS:
        return (Obstacle.AUTHENTICATED_TOO_LONG_AGO,)
    return ()
