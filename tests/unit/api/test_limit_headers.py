"""The headers that tell how limits stand, and which limits are told of."""

import re

from sca_service.api.limit_headers import limit_headers
from sca_service.api.problems import problem
from sca_service.kernel.errors import TooEarly
from sca_service.kernel.quota import Allowance, Quota
from sca_service.limits.model import Limit, allowances
from sca_service.policy.model import AtLimit, LimitedAction, LimitRule, LimitScope

_ITEM = re.compile(r'"[a-z][a-z0-9-]*"(;[a-z]+=[0-9]+)+')
ALLOWANCE = Allowance(Quota("issue-per-payer", 30, 600), 12, 360)


def limit(scope: LimitScope, at_limit: AtLimit = AtLimit.REFUSE) -> Limit:
    """Five in ten seconds."""
    return Limit.of(LimitRule("calls", LimitedAction.ISSUE, scope, 5, 10, burst=5, at_limit=at_limit), "one")


def test_each_limit_is_an_item_of_both_headers() -> None:
    """Structured fields (RFC 9651): a list of strings with integers."""
    other = Allowance(Quota("issue-per-ip", 5, 10), 0, 10)
    told = dict(limit_headers([ALLOWANCE, other]))
    assert told == {
        "RateLimit-Policy": '"issue-per-payer";q=30;w=600, "issue-per-ip";q=5;w=10',
        "RateLimit": '"issue-per-payer";r=12;t=360, "issue-per-ip";r=0;t=10',
    }
    assert all(_ITEM.fullmatch(item) for value in told.values() for item in value.split(", "))


def test_without_limits_there_are_no_headers() -> None:
    """An empty header would be none by the rules of structured fields."""
    assert limit_headers([]) == ()


def test_a_refusal_tells_them_too() -> None:
    """429 has `Retry-After` and both."""
    headers = dict(problem(TooEarly("spent", 7, (ALLOWANCE,)), path="/", request_id="req").headers)
    assert headers["Retry-After"] == "7"
    assert headers["RateLimit"] == '"issue-per-payer";r=12;t=360'


def test_what_is_left_is_what_may_come_at_once() -> None:
    """Whole ones only, and never less than none."""
    five = limit(LimitScope.PAYER)
    told = [
        (one.left, one.full_in_seconds)
        for at in (0, 1, 2_000, 8_001, 10_000)
        for one in allowances([five], [at])
    ]
    assert told == [(5, 0), (4, 1), (4, 2), (0, 9), (0, 10)]


def test_nothing_is_told_of_what_others_did() -> None:
    """A limit that counts over all clients says nothing, and neither does one that only observes."""
    told = {scope for scope in LimitScope if allowances([limit(scope)], [0])}
    assert told == {LimitScope.PAYER, LimitScope.CLIENT, LimitScope.DEVICE, LimitScope.IP}
    assert allowances([limit(LimitScope.PAYER, AtLimit.OBSERVE)], [0]) == ()
