"""RTS Art. 19 and 20: fraud rates are compared exactly, and the exemption ceases and comes back by quarters."""

from itertools import product

import pytest

from sca_service.exemptions.reports.fraud_rate import WINDOW_DAYS, FraudRate, has_ceased

OVER, UNDER, EMPTY = FraudRate(1_301, 1_000_000), FraudRate(1_300, 1_000_000), FraudRate(0, 0)


@pytest.mark.parametrize(
    ("fraud", "total", "reference", "within"),
    [
        (1_300, 1_000_000, 1_300, True),
        (1_301, 1_000_000, 1_300, False),
        (13, 10_000, 1_300, True),
        (1, 769, 1_300, False),  # 0.130039 %
        (1, 770, 1_300, True),  # 0.129870 %
        (0, 1, 0, True),
        (1, 10**30, 0, False),
        (13 * 10**27, 10**31, 1_300, True),
        (13 * 10**27 + 1, 10**31, 1_300, False),
        (0, 0, 1_300, False),
        (5, 0, 1_300, False),
        (2_000, 1_000, 1_300, False),
    ],
)
def test_a_rate_is_compared_exactly(fraud: int, total: int, reference: int, within: bool) -> None:
    """No float: one cent in a billion decides. Without payments nothing is within anything."""
    assert FraudRate(fraud, total).is_within(reference) is within


@pytest.mark.parametrize(
    ("fraud", "total", "percent"),
    [
        (13, 10_000, "0.130000"),
        (1, 3, "33.333333"),
        (2, 3, "66.666667"),
        (1, 200_000_000, "0.000001"),  # half a millionth of a per cent, rounded up
        (1, 200_000_001, "0.000000"),
        (3, 1, "300.000000"),
        (0, 5, "0.000000"),
        (0, 0, None),
    ],
)
def test_a_rate_in_per_cent(fraud: int, total: int, percent: str | None) -> None:
    """Six digits, rounded half up."""
    assert FraudRate(fraud, total).percent == percent


@pytest.mark.parametrize(
    ("quarters", "ceased"),
    [
        ((), False),
        ((OVER,), False),
        ((OVER, OVER), True),
        ((OVER, UNDER, OVER), False),
        ((OVER, OVER, UNDER), False),
        ((OVER, OVER, UNDER, OVER), False),
        ((OVER, OVER, UNDER, OVER, OVER), True),
        ((OVER, OVER, OVER), True),
        ((OVER, EMPTY, OVER), True),
        ((OVER, OVER, EMPTY), True),
        ((OVER, FraudRate(1, 0)), True),
        ((UNDER, UNDER), False),
        ((EMPTY, EMPTY), False),
    ],
)
def test_two_quarters_above_end_it_and_one_below_brings_it_back(
    quarters: tuple[FraudRate, ...], ceased: bool
) -> None:
    """Art. 20(2) and (3). A quarter without payments shows nothing."""
    assert has_ceased(quarters, 1_300) is ceased


def test_every_history_of_six_quarters() -> None:
    """The same as looking back from the end: two in a row above since the last that was not."""
    for quarters in product((OVER, UNDER, EMPTY), repeat=6):
        shown = [rate for rate in quarters if rate is not EMPTY]
        last_below = max((at for at, rate in enumerate(shown) if rate is UNDER), default=-1)
        assert has_ceased(quarters, 1_300) is (len(shown) - 1 - last_below >= 2)


def test_a_rate_is_of_ninety_days() -> None:
    """RTS Art. 19(1)."""
    assert WINDOW_DAYS == 90
