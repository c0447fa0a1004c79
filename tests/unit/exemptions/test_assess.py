"""The articles are tried in the policy's order; the first that holds is the one that is used."""

from sca_service.exemptions.assess import ARTICLES, assess
from sca_service.exemptions.model import Context, Counter, History, Obstacle, Reason
from sca_service.policy.exemptions import Article
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


def test_a_case_that_no_article_speaks_of_is_not_exempt() -> None:
    """Without reasons, too: authentication is the rule."""
    facts = payment("10", context=Context.UNATTENDED_TERMINAL, payees=())
    assert not assess(facts, policy(Article.LOW_VALUE, Article.AISP_ACCESS), History()).exempt
    assert not assess(access(), policy(Article.AISP_ACCESS), History(authenticated_at_ms=0)).exempt
