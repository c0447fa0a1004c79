"""The breaker: when a supplier is left alone, and how it is found to be back."""

import pytest

from sca_service.policy.supply import BreakerRule
from sca_service.routing.breaker import (
    PROBE_MS,
    Breaker,
    BreakerState,
    claim_probe,
    is_failure,
    observe,
)
from sca_service.routing.model import SendOutcome

RULE = BreakerRule(failures=3, window=5, open_seconds=30)
NOW = 1_700_000_000_000


def after(signs: str, *, at_ms: int = NOW) -> Breaker:
    """A breaker that has seen these sends: 1 failed, 0 did not."""
    breaker = Breaker()
    for sign in signs:
        breaker = observe(breaker, RULE, failed=sign == "1", probe=0, now_ms=at_ms)
    return breaker


@pytest.mark.parametrize(
    ("signs", "state"),
    [
        ("", BreakerState.CLOSED),
        ("11", BreakerState.CLOSED),
        ("111", BreakerState.OPEN),
        ("10101", BreakerState.OPEN),
        ("1100011", BreakerState.CLOSED),  # the first two are out of the window
        ("10001", BreakerState.CLOSED),
    ],
)
def test_it_opens_after_so_many_failures_among_the_last(signs: str, state: BreakerState) -> None:
    """Failures further back are forgotten."""
    assert after(signs).state(NOW) is state


def test_it_is_half_open_after_its_time_and_lets_one_probe_through() -> None:
    """The next is let through when that one was given up."""
    breaker = after("111")
    assert breaker.state(NOW + 29_999) is BreakerState.OPEN
    assert claim_probe(breaker, now_ms=NOW + 29_999) == (breaker, 0)
    later = NOW + 30_000
    assert breaker.state(later) is BreakerState.HALF_OPEN
    probed, number = claim_probe(breaker, now_ms=later)
    assert number == 1
    assert claim_probe(probed, now_ms=later + 1) == (probed, 0)
    assert probed.state(later + 1) is BreakerState.OPEN
    assert claim_probe(probed, now_ms=later + PROBE_MS)[1] == 2


def test_a_probe_that_is_taken_closes_it() -> None:
    """With a clean record: one failure afterwards does not open it."""
    probed, number = claim_probe(after("111"), now_ms=NOW + 30_000)
    closed = observe(probed, RULE, failed=False, probe=number, now_ms=NOW + 30_001)
    assert closed.state(NOW + 30_001) is BreakerState.CLOSED
    assert observe(closed, RULE, failed=True, probe=0, now_ms=NOW).state(NOW) is BreakerState.CLOSED


def test_a_probe_that_fails_leaves_it_open_as_long_again() -> None:
    """And then the next probe may go."""
    probed, number = claim_probe(after("111"), now_ms=NOW + 30_000)
    failed = observe(probed, RULE, failed=True, probe=number, now_ms=NOW + 31_000)
    assert failed.state(NOW + 60_999) is BreakerState.OPEN
    assert failed.state(NOW + 61_000) is BreakerState.HALF_OPEN


@pytest.mark.parametrize("failed", [True, False])
def test_what_was_sent_before_it_opened_changes_nothing(failed: bool) -> None:
    """Late answers neither close it nor keep it open for longer; nor does a probe that was given up."""
    breaker = after("111")
    assert observe(breaker, RULE, failed=failed, probe=0, now_ms=NOW + 9) == breaker
    first, number = claim_probe(breaker, now_ms=NOW + 30_000)
    second, _ = claim_probe(first, now_ms=NOW + 30_000 + PROBE_MS)
    assert observe(second, RULE, failed=failed, probe=number, now_ms=NOW + 61_000) == second


@pytest.mark.parametrize(
    ("outcome", "fails"),
    [
        (SendOutcome.TAKEN, False),
        (SendOutcome.REFUSED, False),
        (SendOutcome.FAILED, True),
        (SendOutcome.TIMED_OUT, True),
    ],
)
def test_a_refusal_is_the_messages_fault(outcome: SendOutcome, fails: bool) -> None:
    """A supplier that answers is there."""
    assert is_failure(outcome) is fails
