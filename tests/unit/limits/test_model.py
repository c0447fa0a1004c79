"""Limits as the policy writes them, and the arithmetic of one."""

from pathlib import Path

import pytest

from sca_service.kernel.quota import Allowance, Quota
from sca_service.limits.model import (
    Limit,
    Spent,
    allowances,
    give_back,
    is_pressed,
    limits_for,
    observing,
    refusing,
    spend,
)
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


@pytest.mark.parametrize(
    ("cost_micros", "cost_ms"),
    [
        (1_000_000, 3_334),
        (2_000_000, 6_668),
        (1, 1),
        (300, 2),
        (299_940, 1_000),
        (299_941, 1_001),
        (1_000_000_000, 3_334_000),
    ],
)
def test_an_action_costs_millionths_of_what_it_counts(cost_micros: int, cost_ms: int) -> None:
    """Rounded up to a millisecond, so that nothing is for nothing."""
    limit = Limit.of(
        rule(count=3, per_seconds=10, burst=1_000), "subject", cost_micros=cost_micros, slot="slot"
    )
    assert (limit.cost_ms, limit.spent_ms, limit.slot) == (cost_ms, cost_ms, "slot")
    assert spend(limit, 0, NOON).tat_ms == NOON + cost_ms


def test_what_a_limit_is_without_more() -> None:
    """It refuses, one action costs one interval, it lies with its subject, and nothing is told of it."""
    plain = Limit("calls", "subject", interval_ms=1_000, burst=3)
    assert (plain.refuses, plain.spent_ms, plain.slot, plain.quota) == (True, 1_000, "", None)
    assert Limit.of(rule(count=2, per_seconds=1), "subject").slot == ""
    assert Limit.of(rule(count=2, per_seconds=1), "subject").cost_ms == 500
    assert plain.allowance(0) is None
    assert (Spent().limits, Spent().allowances, Spent().is_pressed) == ((), (), False)


@pytest.mark.parametrize(
    ("ahead_ms", "left", "reset_seconds"),
    [(0, 3, 0), (1, 2, 1), (1_000, 2, 1), (1_001, 1, 2), (2_000, 1, 2), (3_000, 0, 3), (3_500, 0, 4)],
)
def test_what_is_left_of_a_limit(ahead_ms: int, left: int, reset_seconds: int) -> None:
    """Whole actions, never fewer than none, and the whole seconds until all are there again."""
    limit = Limit.of(rule(count=3, per_seconds=3, burst=3), "subject")
    quota = Quota("calls", 3, 3)
    assert limit.allowance(ahead_ms) == Allowance(quota, left, reset_seconds)
    watches = Limit.of(rule(count=3, per_seconds=3, burst=3, at_limit=AtLimit.OBSERVE), "subject")
    assert allowances([watches, limit], [0, ahead_ms]) == (Allowance(quota, left, reset_seconds),)
    each_ms = Limit.of(rule(count=1_000, per_seconds=1), "subject").allowance(2)
    assert each_ms is not None
    assert each_ms.left == 0
    with pytest.raises(ValueError, match="shorter"):
        allowances([watches, limit], [0])


@pytest.mark.parametrize(("spent", "times", "left"), [(3, 1, 2), (3, 2, 1), (3, 3, 0), (1, 1, 0), (0, 1, 0)])
def test_what_is_given_back_can_be_spent_again(spent: int, times: int, left: int) -> None:
    """As often as it was spent; then nothing is kept."""
    limit = Limit("calls", "subject", interval_ms=1_000, burst=3)
    kept = give_back(limit, NOON + spent * 1_000, NOON, times=times)
    assert kept == (NOON + left * 1_000 if left else 0)
    assert give_back(limit, NOON + 1_001, NOON) == NOON + 1
    assert give_back(limit, NOON + 999, NOON) == 0


@pytest.mark.parametrize(("ahead_ms", "expected"), [(0, False), (1_500, False), (1_501, True), (3_000, True)])
def test_a_limit_is_pressed_when_more_than_half_is_spent(ahead_ms: int, expected: bool) -> None:
    """Half is not more than half."""
    assert is_pressed(Limit("calls", "subject", interval_ms=1_000, burst=3), ahead_ms) is expected
