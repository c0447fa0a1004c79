"""Quiet hours: by the clock where the payer is, over midnight, and on the two nights on which that clock jumps."""

from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sca_service.alerts.quiet import is_zone, quiet_until, zone_of, zone_of_country
from sca_service.policy.load import load
from sca_service.policy.notice_rules import QuietHours

NIGHT = QuietHours(time(21), time(8))
BERLIN = "Europe/Berlin"
ZONES = (
    BERLIN,
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",  # its clock moves by half an hour
    "Asia/Kolkata",
    "Pacific/Apia",
    "UTC",
)
TIMES = st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 45]))


def at(text: str, zone: str = BERLIN, fold: int = 0) -> int:
    """Unix time in milliseconds of what a clock shows."""
    moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)
    return round(moment.timestamp() * 1000)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-01-15 20:59:59", None),
        ("2026-01-15 21:00", "2026-01-16 08:00"),
        ("2026-01-16 03:00", "2026-01-16 08:00"),
        ("2026-01-16 07:59:59", "2026-01-16 08:00"),
        ("2026-01-16 08:00", None),
        ("2026-03-28 22:00", "2026-03-29 08:00"),  # put forward in that night: it is an hour shorter
        ("2026-10-24 22:00", "2026-10-25 08:00"),  # put back: an hour longer
    ],
)
def test_the_night_ends_at_the_hour_that_the_clock_shows(now: str, until: str | None) -> None:
    """Over midnight, and whether the night has ten, eleven or twelve hours."""
    assert quiet_until(NIGHT, BERLIN, at(now)) == (at(until) if until else None)


def test_an_end_that_the_clock_jumps_over_is_the_jump() -> None:
    """02:30 does not come on that night: it is loud from 03:00 on, which is when 02:00 would have been."""
    short = QuietHours(time(22), time(2, 30))
    jump = datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert quiet_until(short, BERLIN, at("2026-03-28 23:00")) == round(jump.timestamp() * 1000)


def test_an_hour_that_comes_twice_is_quiet_the_second_time_too() -> None:
    """02:15 after 02:45: the clock was put back over the end of the quiet hours."""
    short = QuietHours(time(22), time(2, 30))
    first = at("2026-10-25 02:30")
    assert quiet_until(short, BERLIN, at("2026-10-24 23:00")) == first
    assert quiet_until(short, BERLIN, at("2026-10-25 02:45")) is None
    again = quiet_until(short, BERLIN, at("2026-10-25 02:15", fold=1))
    assert again == at("2026-10-25 02:30", fold=1) == first + 3_600_000


def test_the_same_time_twice_is_never_quiet() -> None:
    """That is how a bank has no quiet hours, and how a sandbox has none."""
    assert quiet_until(QuietHours(time(8), time(8)), BERLIN, at("2026-01-16 03:00")) is None
    off = QuietHours(time(21), time(8), in_sandbox=False)
    assert off.where(sandbox=False) == off
    assert quiet_until(off.where(sandbox=True), BERLIN, at("2026-01-16 03:00")) is None
    assert NIGHT.where(sandbox=True) == NIGHT


@given(
    hours=st.builds(QuietHours, TIMES, TIMES),
    zone=st.sampled_from(ZONES),
    now=st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31)),
)
@settings(max_examples=300, deadline=None)
def test_it_is_loud_when_it_ends_and_not_before(hours: QuietHours, zone: str, now: datetime) -> None:
    """For any hours, zone and moment: quiet until then, by each minute, and loud then; never more than two days off."""
    now_ms = round(now.replace(tzinfo=UTC).timestamp() * 1000)
    until = quiet_until(hours, zone, now_ms)
    here = ZoneInfo(zone)

    def is_quiet(at_ms: int) -> bool:
        return hours.covers(datetime.fromtimestamp(at_ms / 1000, here).time())

    if until is None:
        assert not is_quiet(now_ms)
        return
    assert now_ms < until <= now_ms + 2 * 86_400_000
    assert not is_quiet(until)
    assert all(is_quiet(between) for between in range(now_ms, until, 60_000))
    assert is_quiet(until - 1_000)


@pytest.mark.parametrize("month", [3, 10])
def test_each_quarter_of_an_hour_around_a_change_of_the_clock(month: int) -> None:
    """Whatever the hours: what waits is told a moment at which it is loud, and none before it was."""
    begins = datetime(2026, month, 24, tzinfo=UTC)
    for end in (time(1, 45), time(2), time(2, 30), time(3), time(3, 15)):
        hours = QuietHours(time(22), end)
        for step in range(0, 8 * 96):
            now = begins + timedelta(minutes=15 * step)
            until = quiet_until(hours, BERLIN, round(now.timestamp() * 1000))
            shown = now.astimezone(ZoneInfo(BERLIN)).time()
            assert (until is None) == (not hours.covers(shown))


@pytest.mark.parametrize(
    ("country", "zone"),
    [
        ("DE", BERLIN),  # Büsingen has the same time
        ("IT", "Europe/Rome"),
        ("IN", "Asia/Kolkata"),
        ("US", ""),
        ("ES", ""),  # the Canaries
        ("XX", ""),
        ("", ""),
    ],
)
def test_a_country_has_a_zone_where_it_has_one_time(country: str, zone: str) -> None:
    """Whatever its places are called."""
    assert zone_of_country(country) == zone


def test_the_order_then_the_number_then_the_policy_says_the_zone() -> None:
    """The nearest word counts."""
    rules = load(Path(__file__).resolve().parents[3] / "policies").alerts.notices
    assert zone_of(rules, "Asia/Tokyo", "IT") == "Asia/Tokyo"
    assert zone_of(rules, "", "IT") == "Europe/Rome"
    assert zone_of(rules, "", "US") == rules.default_time_zone


@pytest.mark.parametrize("name", ["", "Mars/Phobos", "../../etc/passwd", "europe/berlin", "Europe/Berlin\0"])
def test_what_is_no_zone_is_known_as_none(name: str) -> None:
    """Neither a path nor another spelling."""
    assert not is_zone(name)
    assert is_zone(BERLIN)
