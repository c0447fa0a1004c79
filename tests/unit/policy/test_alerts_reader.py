"""alerts.toml: every number has its bound, and what has recovered is not approaching at once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sca_service.policy.alerts import Interval
from sca_service.policy.load import load
from sca_service.policy.notices import CARD_NOTICES

Edit = Callable[[str, str, str], list[str]]
FILE = "alerts.toml"


def test_the_shipped_policy_warns_days_ahead(shipped: Path) -> None:
    """With a gap between below and recovered, and a tolerance for each interval."""
    policy = load(shipped).alerts
    assert policy.cards.days_ahead == 3
    assert policy.cards.recovered_percent > policy.cards.approaching_percent > 100
    assert set(policy.recognition.tolerance_days) == set(Interval)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("days_ahead = 3", "days_ahead = 0", "cards.days_ahead"),
        ("from_hour_utc = 8", "from_hour_utc = 24", "cards.from_hour_utc"),
        (
            "least_confidence_percent = 60",
            "least_confidence_percent = 101",
            "cards.least_confidence_percent",
        ),
        ("recovered_percent = 120", "recovered_percent = 109", "cards.recovered_percent"),
        ("lifetime_hours = 24", "lifetime_hours = 169", "cards.lifetime_hours"),
        ("match_days = 3", "match_days = 3\nmatch_amount = 1", "cards.match_amount"),
        ("most_upcoming = 50", "", "cards.most_upcoming"),
        ("least_charges = 3", "least_charges = 2", "recognition.least_charges"),
        ("weekly_tolerance_days = 1", "weekly_tolerance_days = 3", "recognition.weekly_tolerance_days"),
        ("amount_band_percent = 25", 'amount_band_percent = "25"', "recognition.amount_band_percent"),
        ("history_days = 800", "history_days = 5000", "recognition.history_days"),
    ],
)
def test_every_mistake_is_told(edit: Edit, old: str, new: str, key: str) -> None:
    """One mistake, at its key."""
    (mistake,) = edit(FILE, old, new)
    assert mistake.startswith(f"{FILE}:{key}: ")


@pytest.mark.parametrize("name", CARD_NOTICES)
def test_the_notices_about_cards_are_needed(edit: Edit, name: str) -> None:
    """A language without one of them is told of, and so is a text that leaves open something else."""
    told = edit("texts.toml", f"[de.notices.{name}]", "[de.notices.mine]")
    assert f"texts.toml:de.notices: lacks {name}; allowed: the same notices in every language" in told


def test_a_notice_about_cards_has_what_the_service_fills_in(edit: Edit) -> None:
    """Neither more nor less: nobody else is there to fill it in."""
    (mistake,) = edit("texts.toml", "below {threshold}. Top it up in time. {bank}", "so top it up. {bank}")
    assert mistake.startswith("texts.toml:en.notices.low_balance.sms: leaves open something else")
