"""Regular charges: what the calendar does to them, how sure they are, and what is none."""

from collections.abc import Sequence
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sca_service.alerts.cards.recurring import PastCharge, Regular, recognise, shifted
from sca_service.policy.alerts import Interval
from tests.cards import POLICY

RULES = POLICY.alerts.recognition
MONTHS = {Interval.MONTHLY: 1, Interval.QUARTERLY: 3, Interval.YEARLY: 12}


def found(
    days: Sequence[date], amounts: Sequence[int] | None = None, today: date | None = None
) -> list[Regular]:
    """What is recognised of charges on these days."""
    charges = [
        PastCharge("merchant", "EUR", amounts[at] if amounts else 999, day) for at, day in enumerate(days)
    ]
    return recognise(charges, today or max(days), RULES)


@pytest.mark.parametrize(
    ("days", "interval", "next_on"),
    [
        ("2026-01-05 2026-01-12 2026-01-19", Interval.WEEKLY, "2026-01-26"),
        ("2026-01-05 2026-01-13 2026-01-19 2026-01-26", Interval.WEEKLY, "2026-02-02"),
        ("2026-01-15 2026-02-15 2026-03-15", Interval.MONTHLY, "2026-04-15"),
        ("2026-01-31 2026-02-28 2026-03-31", Interval.MONTHLY, "2026-04-30"),
        ("2026-02-28 2026-03-31 2026-04-30", Interval.MONTHLY, "2026-05-31"),
        ("2023-12-31 2024-01-31 2024-02-29", Interval.MONTHLY, "2024-03-31"),
        ("2026-01-30 2026-02-28 2026-03-30", Interval.MONTHLY, "2026-04-30"),
        ("2026-01-01 2026-02-02 2026-03-02 2026-04-01", Interval.MONTHLY, "2026-05-01"),  # weekends
        (
            "2026-01-01 2026-01-31 2026-03-01",
            Interval.MONTHLY,
            "2026-04-01",
        ),  # a day early, over a month's end
        ("2025-11-30 2026-02-28 2026-05-31", Interval.QUARTERLY, "2026-08-31"),
        ("2024-02-29 2025-02-28 2026-02-28", Interval.YEARLY, "2027-02-28"),
        ("2025-02-28 2026-02-28 2027-02-28", Interval.YEARLY, "2028-02-28"),
        ("2022-02-28 2023-02-28 2024-02-29", Interval.YEARLY, "2025-02-28"),
        ("2020-02-29 2021-02-28 2022-02-28 2023-02-28", Interval.YEARLY, "2024-02-29"),
    ],
)
def test_the_next_one_follows_the_calendar(days: str, interval: Interval, next_on: str) -> None:
    """A month's last day, 29 February, a weekend: the usual day is that which fits all of them best."""
    (regular,) = found([date.fromisoformat(day) for day in days.split()])
    assert (regular.interval, regular.next_on) == (interval, date.fromisoformat(next_on))


@pytest.mark.parametrize(
    "days",
    [
        "2026-01-15",
        "2026-01-15 2026-02-15",
        "2026-01-15 2026-01-25 2026-03-01",
        "2026-01-15 2026-02-24 2026-03-15",
    ],
)
def test_what_is_not_regular_is_not_recognised(days: str) -> None:
    """Too few, or too far from each other's interval."""
    assert found([date.fromisoformat(day) for day in days.split()]) == []


def test_what_has_stopped_is_no_more() -> None:
    """On its day it may still come; the day after it is over."""
    days = [date(2026, 1, 15), date(2026, 2, 15), date(2026, 3, 15)]
    assert found(days, today=date(2026, 4, 15))
    assert not found(days, today=date(2026, 4, 16))


def test_who_buys_coffee_every_day_is_not_charged_weekly() -> None:
    """There is one each seven days, but six others between them: nobody would be warned of it."""
    daily = found([date(2026, 1, 1) + timedelta(days=day) for day in range(60)])
    assert all(one.confidence_percent < 20 for one in daily)


def test_what_is_bought_beside_a_subscription_does_not_hide_it() -> None:
    """Charges of another amount are looked at by themselves, and so are two subscriptions."""
    days = [date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1)]
    twice = found([*days, *days, date(2026, 3, 9)], [899, 899, 899, 4990, 4990, 4990, 7123])
    assert sorted(one.amount_minor for one in twice) == [899, 4990]
    assert {one.confidence_percent for one in twice} == {75}


def test_longer_is_surer_and_off_is_less_sure() -> None:
    """Three charges are less sure than six, and charges that are off in day or amount less than those that are not."""
    months = [shifted(date(2025, 1, 15), at, day_of_month=15) for at in range(12)]
    (few,), (many,), (all_of_them,) = found(months[:3]), found(months[:6]), found(months)
    assert few.confidence_percent < many.confidence_percent < 100
    assert all_of_them.confidence_percent == 95
    (off_days,) = found([*months[:4], months[4] + timedelta(days=1), months[5] - timedelta(days=2)])
    (off_amounts,) = found(months[:6], [1000, 1200, 1000, 1200, 1000, 1000])
    assert off_days.confidence_percent < many.confidence_percent
    assert off_amounts.confidence_percent < many.confidence_percent
    assert (off_amounts.least_minor, off_amounts.most_minor) == (1000, 1200)


def test_the_amount_is_the_highest_of_the_newest() -> None:
    """After a rise the new price, where amounts change the most of the last three."""
    days = [shifted(date(2026, 1, 15), at, day_of_month=15) for at in range(5)]
    assert found(days, [900, 900, 900, 900, 1100])[0].amount_minor == 1100
    assert found(days, [1250, 1000, 1100, 1000, 1050])[0].amount_minor == 1100


@given(
    interval=st.sampled_from(list(MONTHS)),
    first=st.dates(date(2000, 1, 1), date(2060, 1, 1)),
    charges=st.integers(3, 8),
)
def test_every_day_of_a_month_is_found_again(interval: Interval, first: date, charges: int) -> None:
    """Whatever day it began on, the next one is where the calendar puts it, also behind a shorter month."""
    months = MONTHS[interval]
    days = [shifted(first, months * at, day_of_month=first.day) for at in range(charges)]
    wanted = shifted(first, months * charges, day_of_month=first.day)
    regular = max(found(days), key=lambda one: one.confidence_percent)
    assert (regular.interval, regular.next_on) == (interval, wanted)
