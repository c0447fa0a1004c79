"""The test that tells whether two kinds of answers take the same time."""

import random

import pytest

from tests.timing import far, mann_whitney, nearly


def test_it_counts_as_it_is_written_down() -> None:
    """A small example by hand: U is 3 of 20, 1.7146 standard deviations off; without a correction for continuity."""
    difference = mann_whitney([19, 22, 16, 29, 24], [20, 11, 17, 12])
    assert difference.share_slower == pytest.approx(3 / 20)
    assert difference.likelihood == pytest.approx(0.0864, abs=1e-4)


def test_equal_times_are_no_difference() -> None:
    """All tied: half of the pairs each way."""
    difference = mann_whitney([1.0] * 30, [1.0] * 30)
    assert (difference.share_slower, difference.likelihood) == (0.5, 1.0)


def test_a_small_shift_is_found_in_2000_calls() -> None:
    """A tenth of what the times spread over; and none is found where there is none."""
    chance = random.Random(7)
    first, second = ([chance.expovariate(1.0) for _ in range(2_000)] for _ in range(2))
    assert mann_whitney(first, second).likelihood > 0.01
    assert mann_whitney(first, [value + 0.1 for value in second]).likelihood < 0.001


@pytest.mark.parametrize("code", ["000000", "123456", "999999"])
def test_wrong_codes_are_wrong_where_they_say(code: str) -> None:
    """In the last digit only, and in all."""
    assert (nearly(code)[:-1], nearly(code)[-1] != code[-1]) == (code[:-1], True)
    assert all(one != other for one, other in zip(code, far(code), strict=True))
