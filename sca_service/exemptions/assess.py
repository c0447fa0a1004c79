"""Tries the exemptions that a bank uses, in its order, until one holds. Pure."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from sca_service.exemptions.articles.account_access import account_access
from sca_service.exemptions.articles.aisp_access import aisp_access
from sca_service.exemptions.articles.contactless import contactless
from sca_service.exemptions.articles.corporate import corporate
from sca_service.exemptions.articles.low_value import low_value
from sca_service.exemptions.articles.own_accounts import own_accounts
from sca_service.exemptions.articles.recurring import recurring
from sca_service.exemptions.articles.risk_analysis import risk_analysis
from sca_service.exemptions.articles.trusted_beneficiary import trusted_beneficiary
from sca_service.exemptions.articles.unattended_terminal import unattended_terminal
from sca_service.exemptions.model import Article, Assessment, Facts, History, Obstacle, Obstacles, Reason
from sca_service.policy.exemptions import ExemptionPolicy

ARTICLES: Mapping[Article, Callable[[Facts, ExemptionPolicy, History], Obstacles]] = MappingProxyType(
    {
        Article.ACCOUNT_ACCESS: account_access,
        Article.AISP_ACCESS: aisp_access,
        Article.CONTACTLESS: contactless,
        Article.UNATTENDED_TERMINAL: unattended_terminal,
        Article.TRUSTED_BENEFICIARY: trusted_beneficiary,
        Article.RECURRING: recurring,
        Article.OWN_ACCOUNTS: own_accounts,
        Article.LOW_VALUE: low_value,
        Article.CORPORATE: corporate,
        Article.RISK_ANALYSIS: risk_analysis,
    }
)
"""Every exemption there is, and what judges it."""


def assess(facts: Facts, policy: ExemptionPolicy, history: History) -> Assessment:
    """Whether authentication may be left out. Without an article that holds it may not.

    The reasons name what stood against each article that was tried, but for those that speak of something else. Where
    risk refuses, no article exempts: monitoring goes for every exemption (RTS Art. 2(1)).
    """
    reasons: list[Reason] = []
    is_stopped = _is_stopped(facts, policy)
    for article in policy.order:
        obstacles = ARTICLES[article](facts, policy, history)
        if not obstacles and is_stopped:
            obstacles = (Obstacle.RISK_REFUSED,)
        if not obstacles:
            return Assessment(exempt=True, article=article, reasons=tuple(reasons))
        reasons += [Reason(article, one) for one in obstacles if one is not Obstacle.NOT_OF_THIS_KIND]
    return Assessment(exempt=False, article=None, reasons=tuple(reasons))


def _is_stopped(facts: Facts, policy: ExemptionPolicy) -> bool:
    """Whether the decision on a payment is one from which on the policy exempts nothing; of an access none is made."""
    decision = facts.payment.risk.decision if facts.payment else None
    return decision is not None and decision.rank >= policy.none_from.rank
