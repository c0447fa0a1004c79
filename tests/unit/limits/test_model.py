"""Limits as the policy writes them, and the arithmetic of one."""

from pathlib import Path

import pytest

from sca_service.limits.model import Limit, limits_for, observing, refusing, spend
from sca_service.policy.load import load
from sca_service.policy.model import AtLimit, LimitedAction, LimitRule, LimitScope

POLICIES = Path(__file__).resolve().parents[3] / "policies"
NOON = 1_790_000_000_000


def rule(*, count: int, per_seconds: int, burst: int = 1, at_limit: AtLimit = AtLimit.REFUSE) -> LimitRule:
    """A rule of a policy."""
    return LimitRule(
        "calls", LimitedAction.ISSUE, LimitScope.PAYER, count, per_seconds, burst=burst, at_limit=at_limit
    )


@pytest.mark.parametrize(
    ("count", "per_seconds", "interval_ms"),
    [
        (1, 1, 1_000),
        (30, 600, 20_000),
        (10, 600, 60_000),
        (3, 10, 3_334),
        (600, 1, 2),
        (1_000_000, 1, 1),
        (1, 86_400, 86_400_000),
    ],
)
def test_a_rule_is_spread_evenly(count: int, per_seconds: int, interval_ms: int) -> None:
    """So many in so much time is one in each part of it: rounded to fewer, since 600 a second are not 1000."""
    limit = Limit.of(rule(count=count, per_seconds=per_seconds, burst=count), "subject")
    assert (limit.name, limit.subject, limit.interval_ms, limit.burst) == (
        "calls",
        "subject",
        interval_ms,
        count,
    )


def test_a_limit_refuses_or_observes_as_its_rule_says() -> None:
    """And is told apart by it."""
    bites = Limit.of(rule(count=1, per_seconds=1), "subject")
    watches = Limit.of(rule(count=1, per_seconds=1, at_limit=AtLimit.OBSERVE), "subject")
    assert (bites.refuses, watches.refuses) == (True, False)
    assert refusing([bites, watches]) == (bites,)
    assert observing([bites, watches]) == (watches,)


def test_a_burst_passes_at_once_and_then_one_by_one() -> None:
    """Three at once, the fourth a whole interval later."""
    limit = Limit("calls", "subject", interval_ms=1_000, burst=3)
    tat_ms = 0
    for _ in range(3):
        decision = spend(limit, tat_ms, NOON)
        assert (decision.allowed, decision.retry_after_ms) == (True, 0)
        tat_ms = decision.tat_ms
    assert tat_ms == NOON + 3_000
    refused = spend(limit, tat_ms, NOON)
    assert (refused.allowed, refused.retry_after_ms, refused.tat_ms) == (False, 1_000, tat_ms)
    assert not spend(limit, tat_ms, NOON + 999).allowed
    assert spend(limit, tat_ms, NOON + 1_000).allowed


def test_a_rest_gives_the_whole_burst_back_and_no_more() -> None:
    """Nobody saves up."""
    limit = Limit("calls", "subject", interval_ms=1_000, burst=2)
    tat_ms = NOON - 1_000_000
    passed = 0
    while (decision := spend(limit, tat_ms, NOON)).allowed:
        passed, tat_ms = passed + 1, decision.tat_ms
    assert passed == 2


def test_the_limits_on_an_action_are_those_of_its_scope() -> None:
    """The shipped policy counts issues by payer and by number, resends by payer."""
    policy = load(POLICIES)
    names = {
        (action, scope): [limit.name for limit in limits_for(policy, action, scope, "subject")]
        for action in LimitedAction
        for scope in LimitScope
    }
    assert names[LimitedAction.ISSUE, LimitScope.PAYER] == ["issue-per-payer"]
    assert names[LimitedAction.ISSUE, LimitScope.PHONE] == ["issue-per-phone"]
    assert names[LimitedAction.RESEND, LimitScope.PAYER] == ["resend-per-payer"]
    assert names[LimitedAction.RESEND, LimitScope.PHONE] == []
