"""pumping.toml: every scope has one budget, every number its bound, and a range is the beginning of numbers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sca_service.policy.load import load
from sca_service.policy.pumping import AtBlock, PumpingScope

Edit = Callable[[str, str, str], list[str]]
FILE = "pumping.toml"
NEVER = 'never_sent_to = ["+4470"]'


def test_the_shipped_policy_refuses_where_messages_cost_money(shipped: Path) -> None:
    """With the published mark for conversion, and a budget for each scope."""
    policy = load(shipped).pumping
    assert (policy.at_block, policy.at_block_in_sandbox) == (AtBlock.REFUSE, AtBlock.OFF)
    assert policy.conversion_percent == 35
    assert set(policy.budgets) == set(PumpingScope)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('at_block = "refuse"', 'at_block = "block"', "at_block"),
        ('at_block_in_sandbox = "off"', "", "at_block_in_sandbox"),
        ("window_hours = 24", "window_hours = 25", "window_hours"),
        ("history_days = 14", "history_days = 15", "history_days"),
        ("answer_minutes = 5", "answer_minutes = 11", "answer_minutes"),
        ("block_seconds = 86400", "block_seconds = 0", "block_seconds"),
        ("known_days = 180", "known_days = 401", "known_days"),
        ("most_allowed_days = 90", "most_allowed_days = 0", "most_allowed_days"),
        ("conversion_percent = 35", "conversion_percent = 61", "conversion_percent"),
        ("most_countries = 4", "most_countries = 0", "most_countries"),
        (NEVER, 'never_sent_to = ["4470"]', "never_sent_to[1]"),
        (NEVER, 'never_sent_to = ["+4470", "+"]', "never_sent_to[2]"),
        (NEVER, 'never_sent_to = ["+4470", 44]', "never_sent_to[2]"),
        (NEVER, 'never_sent_to = "+4470"', "never_sent_to"),
        (NEVER, "never_sent_to = []", "never_sent_to"),
        ('scope = "prefix"', 'scope = "network"', "budget[network].scope"),
        ('scope = "prefix"', 'scope = "country"', "budget[country].scope"),
        ("floor = 25", "floor = 0", "budget[country].floor"),
        ("floor = 25", "", "budget[country].floor"),
        ("floor = 1000", "floor = 1000\nceiling = 1", "budget[client].ceiling"),
        ("waiting = 1000\nleast_sent = 100\n", "least_sent = 100\n", "budget[country].waiting"),
        ("least_sent = 2000", "least_sent = 4", "budget[client].least_sent"),
        ("least_sent = 100\n", 'least_sent = "100"\n', "budget[country].least_sent"),
    ],
)
def test_every_mistake_is_told(edit: Edit, old: str, new: str, key: str) -> None:
    """One mistake, at its key."""
    (mistake,) = edit(FILE, old, new)
    assert mistake.startswith(f"{FILE}:{key}: ")


def test_a_scope_without_a_budget_is_told(edit: Edit) -> None:
    """Nothing goes uncounted because a row was left out."""
    (mistake,) = edit(
        FILE,
        '[[budget]]\nscope = "client"\nfloor = 1000\nbest_day_percent = 50\nday_percent = 50\n'
        "hour_percent = 50\nwaiting = 1000\nleast_sent = 2000\n",
        "",
    )
    assert mistake == f"{FILE}:budget: has 4 entries; allowed: 5 to 5 (one for each scope)"
