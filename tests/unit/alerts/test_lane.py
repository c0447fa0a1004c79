"""The lane for alerts: no faster than the policy says, whatever is due."""

from hypothesis import given
from hypothesis import strategies as st

from sca_service.alerts.lane import Rate


@given(
    most=st.integers(1, 5_000),
    pauses=st.lists(st.floats(0.0, 2.0), min_size=1, max_size=50),
)
def test_no_more_begin_than_the_rate_and_a_burst(most: int, pauses: list[float]) -> None:
    """Over any time: the rate times that, and a quarter of a second's more."""
    rate, now, begun = Rate(most), 1_000.0, 0
    for pause in pauses:
        now += pause
        allowed = rate.allows(now)
        rate.spend(allowed)
        begun += allowed
    assert begun <= most * (sum(pauses) + 0.25) + 1
    assert begun == 0 or most >= 1


def test_what_is_slow_still_moves() -> None:
    """One a second is one a second."""
    rate = Rate(1)
    begun = 0
    for second in range(10):
        allowed = rate.allows(float(second + 1))
        rate.spend(allowed)
        begun += allowed
    assert 9 <= begun <= 10
