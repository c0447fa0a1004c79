"""The articles are tried in the policy's order; the first that holds is the one that is used."""

from dataclasses import replace
from typing import Any

import pytest

from sca_service.exemptions.assess import ARTICLES, assess
from sca_service.exemptions.model import (
    Context,
    Counter,
    History,
    Obstacle,
    PaymentType,
    Reason,
    Risk,
    Series,
)
from sca_service.kernel.money import Amount
from sca_service.policy.exemptions import Article, CorporateRule
from sca_service.policy.risk import Decision
from tests.exemption_cases import ALL_EXCLUDED, LOW_RATE, POLICY, access, payment, policy


def test_every_article_has_its_function() -> None:
    """None is forgotten, none is judged by another's."""
    assert set(ARTICLES) == set(Article)
    assert len({id(judge) for judge in ARTICLES.values()}) == len(Article)


def test_the_first_that_holds_is_used() -> None:
    """The order is the bank's."""
    facts = payment("10", risk=ALL_EXCLUDED, fraud=LOW_RATE)
    history = History(trusted=frozenset({"payee-a"}))
    for order in (
        (Article.TRUSTED_BENEFICIARY, Article.LOW_VALUE, Article.RISK_ANALYSIS),
        (Article.LOW_VALUE, Article.RISK_ANALYSIS, Article.TRUSTED_BENEFICIARY),
        (Article.RISK_ANALYSIS, Article.TRUSTED_BENEFICIARY, Article.LOW_VALUE),
    ):
        assessment = assess(facts, policy(*order), history)
        assert (assessment.exempt, assessment.article, assessment.reasons) == (True, order[0], ())


def test_what_the_policy_does_not_use_exempts_nothing() -> None:
    """An exemption is the bank's choice."""
    facts = payment("10", risk=ALL_EXCLUDED, fraud=LOW_RATE)
    assert not assess(facts, policy(Article.AISP_ACCESS), History()).exempt


def test_the_reasons_tell_what_stood_against_each_that_was_tried() -> None:
    """But for those that speak of something else."""
    history = History(low_value=Counter(9_500, 4))
    assessment = assess(payment("10"), POLICY, history)
    assert not assessment.exempt
    assert assessment.article is None
    assert assessment.reasons == (
        Reason(Article.TRUSTED_BENEFICIARY, Obstacle.NOT_TRUSTED),
        Reason(Article.LOW_VALUE, Obstacle.CUMULATIVE_AMOUNT),
        Reason(Article.RISK_ANALYSIS, Obstacle.FRAUD_RATE_UNKNOWN),
        Reason(Article.RISK_ANALYSIS, Obstacle.FACT_MISSING),
    )


def test_an_exempt_one_tells_what_stood_against_those_before_it() -> None:
    """Why it was not another article."""
    assessment = assess(payment("10"), POLICY, History())
    assert assessment.article is Article.LOW_VALUE
    assert assessment.reasons == (Reason(Article.TRUSTED_BENEFICIARY, Obstacle.NOT_TRUSTED),)


ALL_HOLD: dict[Article, dict[str, Any]] = {
    Article.TRUSTED_BENEFICIARY: {},
    Article.RECURRING: {"series": "series-a"},
    Article.OWN_ACCOUNTS: {"type": PaymentType.CREDIT_TRANSFER, "same_holder": True, "held_here": True},
    Article.LOW_VALUE: {},
    Article.CONTACTLESS: {"context": Context.CONTACTLESS, "instrument": "card-1"},
    Article.UNATTENDED_TERMINAL: {"context": Context.UNATTENDED_TERMINAL, "merchant_category": "4111"},
    Article.CORPORATE: {"process": "host-to-host", "payer_is_consumer": False},
}


@pytest.mark.parametrize("article", ALL_HOLD)
@pytest.mark.parametrize("none_from", [Decision.CHALLENGE, Decision.STEP_UP, Decision.REFUSE])
@pytest.mark.parametrize("decision", [None, *Decision])
def test_from_a_decision_on_no_article_exempts(
    article: Article, none_from: Decision, decision: Decision | None
) -> None:
    """RTS Art. 2(1): what risk refuses never is; from where on else is the bank's choice. None is no decision."""
    corporate = CorporateRule(("host-to-host",), "file 1")
    rules = replace(policy(article), none_from=none_from, corporate=corporate)
    history = History(trusted=frozenset({"payee-a"}), series=Series(Amount("EUR", 1_000), "payee-a"))
    facts = payment("10", risk=Risk(decision=decision), **ALL_HOLD[article])
    assessment = assess(facts, rules, history)
    is_stopped = decision is not None and decision.rank >= none_from.rank
    assert assessment.exempt is not is_stopped
    assert assessment.reasons == ((Reason(article, Obstacle.RISK_REFUSED),) if is_stopped else ())


def test_a_case_that_no_article_speaks_of_is_not_exempt() -> None:
    """Without reasons, too: authentication is the rule."""
    facts = payment("10", context=Context.UNATTENDED_TERMINAL, payees=())
    assert not assess(facts, policy(Article.LOW_VALUE, Article.AISP_ACCESS), History()).exempt
    assert not assess(access(), policy(Article.AISP_ACCESS), History(authenticated_at_ms=0)).exempt
