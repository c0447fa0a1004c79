"""alerts.toml on every notice: times, zones, hosts, topics; each mistake is told at its key."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sca_service.policy.load import load
from sca_service.policy.notice_rules import ConsentRule
from sca_service.policy.replies import Meaning

Edit = Callable[[str, str, str], list[str]]
FILE = "alerts.toml"
CHARGES = 'stop_words = ["STOP CHARGES"'


def test_the_shipped_policy_disturbs_nobody_at_night(shipped: Path) -> None:
    """Offers need consent; each notice has one topic; words end one topic alone."""
    rules = load(shipped).alerts.notices
    assert rules.quiet_hours.begins > rules.quiet_hours.ends
    offer = rules.topic(rules.topic_of("offer"))
    assert offer is not None and offer.consent is ConsentRule.OPT_IN
    assert rules.topic_of("upcoming_charge") == "charge" and rules.topic_of("unheard_of") == ""
    wish = rules.wish("Stop charges!")
    assert wish is not None and (wish.topic, wish.meaning) == ("charge", Meaning.OPT_OUT)
    assert rules.wish("STOP") is None and rules.wish("x" * 50) is None


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("keep_days = 400", "keep_days = 29", "notices.keep_days"),
        ("keep_days = 400", "keep_days = 126", "notices.keep_days"),  # its link still leads on
        ("most_per_second = 2500", "most_per_second = 0", "notices.most_per_second"),
        ("most_days_ahead = 90", "most_days_ahead = 367", "notices.most_days_ahead"),
        ('"Europe/Berlin"\n\n', '"Europe/Bärlin"\n\n', "notices.default_time_zone"),
        ('begins = "21:00"', 'begins = "24:00"', "notices.quiet_hours.begins"),
        ('ends = "08:00"', "ends = 8", "notices.quiet_hours.ends"),
        ("in_sandbox = false\n", "", "notices.quiet_hours.in_sandbox"),
        ('hosts = ["bank.example"', 'hosts = ["https://bank.example"', "notices.links.hosts[1]"),
        ('hosts = ["bank.example"', 'hosts = ["*"', "notices.links.hosts[1]"),
        ("keep_days = 30\n", "keep_days = 366\n", "notices.links.keep_days"),
        ('notices = ["offer"]', 'notices = ["unheard_of"]', "notices.topic[offer].notices[1]"),
        ('notices = ["offer"]', 'notices = ["line_replaced"]', "notices.topic[offer].notices[1]"),
        ('notices = ["offer"]', 'notices = ["low_balance"]', "notices.topic[offer].notices[1]"),
        ('consent = "opt_in"', 'consent = "none"', "notices.topic[offer].consent"),
        ('name = "offer"', 'name = "balance"', "notices.topic[balance].name"),
        (CHARGES, 'stop_words = ["STOP"', "notices.topic[charge].stop_words[1]"),
        (CHARGES, 'stop_words = ["!"', "notices.topic[charge].stop_words[1]"),
        ('["STOP BALANCE"', '["stop-charges"', "notices.topic[balance].stop_words[1]"),
        ('["START CHARGES"', '["STOP CHARGES"', "notices.topic[charge].start_words[1]"),
        ('name = "charge"', 'name = "charge"\nmost = 1', "notices.topic[charge].most"),
    ],
)
def test_every_mistake_is_told(edit: Edit, old: str, new: str, key: str) -> None:
    """One mistake, at its key."""
    (mistake,) = edit(FILE, old, new)
    assert mistake.startswith(f"{FILE}:{key}: ")


def test_a_call_has_no_link(edit: Edit) -> None:
    """Nobody follows what they hear."""
    (mistake,) = edit(
        "texts.toml", 'voice = "This is a message from {bank}. {offer}"', 'voice = "{bank}. {offer} {link}"'
    )
    assert mistake.startswith("texts.toml:en.notices.offer.voice: holds {link}")
