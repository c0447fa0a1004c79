"""RTS Art. 10a: the same access through an account information service. A bank has to grant it."""

from sca_service.exemptions.articles.account_access import beyond_what_is_shown, without_authentication
from sca_service.exemptions.model import Facts, History, Obstacle, Obstacles
from sca_service.policy.exemptions import ExemptionPolicy


def aisp_access(facts: Facts, policy: ExemptionPolicy, history: History) -> Obstacles:
    """As Art. 10, for each service by itself, unless the bank has an objectively justified reason (Art. 10a(3))."""
    access = facts.access
    if access is None or access.aisp is None:
        return (Obstacle.NOT_OF_THIS_KIND,)
    justified = (Obstacle.JUSTIFIED_REASON,) if access.reason else ()
    return (
        *justified,
        *beyond_what_is_shown(access, policy.access),
        *without_authentication(facts.at_ms, policy.access, history),
    )
