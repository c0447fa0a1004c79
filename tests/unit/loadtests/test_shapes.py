"""Arrivals: drawn before the run, the same for the same seed, and as many as the shape says."""

import pytest

from loadtests.scenario.figures import drawn, percentile, rows
from loadtests.scenario.plan import Rates
from loadtests.scenario.shapes import ATTACKS, SHAPES, Kind, arrivals

RATES = Rates(checkouts=50, attacks=20)


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    """What was seen can be seen again."""
    one, same, other = (arrivals(SHAPES["attack"], RATES, seconds=60, seed=seed) for seed in (1, 1, 2))
    assert one == same != other
    assert one == sorted(one)


@pytest.mark.parametrize(
    ("shape", "share"), [("steady", 1.0), ("payday", 0.475), ("attack", 1.0), ("soak", 1.0)]
)
def test_as_many_arrive_as_the_shape_says(shape: str, share: float) -> None:
    """Of 15,000 drawn some two hundred more or fewer are chance; the seed is always the same."""
    found = [one for one in arrivals(SHAPES[shape], RATES, seconds=300, seed=1) if one.kind is Kind.CHECKOUT]
    assert len(found) == pytest.approx(50 * 300 * share, rel=0.05)
    assert all(0 <= one.due < 300 for one in found)


def test_attackers_come_in_the_middle_of_their_shape_and_never_else() -> None:
    """From 30 to 70 % of the time."""
    for name, shape in SHAPES.items():
        attacks = [one.due for one in arrivals(shape, RATES, seconds=100, seed=1) if one.kind in ATTACKS]
        assert bool(attacks) is (name == "attack")
        assert all(30 <= due < 70 for due in attacks)


def test_percentiles_are_of_values_that_were_measured() -> None:
    """By nearest rank; of nothing there is none."""
    assert [percentile(range(1, 101), percent) for percent in (50, 99, 100)] == [50, 99, 100]
    assert percentile([7.0], 50) == percentile([7.0], 99.9) == 7.0
    assert percentile([], 50) != percentile([], 50)


def test_a_delay_counts_where_it_was_due_and_failures_are_told_from_refusals() -> None:
    """One answered after four seconds is in the bucket of its first."""
    requests = [(0.2, "issue", 4_000.0, 201), (1.5, "issue", 10.0, 429), (2.5, "issue", 5.0, 0)]
    figures = drawn("title", requests, seconds=3, delays_of=("issue",))
    assert figures.per_second["issue"] == [1.0, 1.0, 1.0]
    assert (figures.refused, figures.failed) == ([0.0, 1.0, 0.0], [0.0, 0.0, 1.0])
    assert figures.delays["issue"]["p99"] == [4_000.0, 10.0, 5.0]
    (row,) = rows(requests)
    assert (row.count, row.refused, row.failed, row.worst) == (3, 1, 1, 4_000.0)
