"""Links in alerts: only ours are looked up, they lead where the policy allows, and people are told from machines."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sca_service.alerts.links.model import checked_url, is_link_id, is_person, link_id, new_link
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring, create_keyring_text
from sca_service.policy.load import load
from sca_service.policy.notice_rules import LinkRule

KEYRING = Keyring.parse(create_keyring_text())
OTHER = Keyring.parse(create_keyring_text())
RULE = LinkRule(("bank.example", "*.shop.example"), 30)
TAP = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1"


def test_a_link_is_one_alerts_and_says_nothing_of_it() -> None:
    """Always the same 20 characters for one alert, without a part of its id."""
    alert = new_id("alt")
    link = link_id(KEYRING, alert)
    assert link == link_id(KEYRING, alert) != link_id(KEYRING, new_id("alt"))
    assert len(link) == 20 and alert[4:] not in link
    assert is_link_id(KEYRING, link) and not is_link_id(OTHER, link)


@given(st.text(max_size=24) | st.from_regex(r"[A-Za-z0-9_-]{20}", fullmatch=True))
def test_what_we_did_not_make_is_none(text: str) -> None:
    """Whatever is asked for: one of 281 billion would do."""
    assert not is_link_id(KEYRING, text)


def test_one_changed_character_is_no_link() -> None:
    """At any place."""
    link = link_id(KEYRING, new_id("alt"))
    for at, character in enumerate(link):
        other = "A" if character != "A" else "B"
        assert not is_link_id(KEYRING, link[:at] + other + link[at + 1 :])


def test_the_url_is_sealed_for_the_link() -> None:
    """What lies in the database opens with the link's own name only."""
    link = new_link(KEYRING, RULE, new_id("alt"), "https://bank.example/top-up")
    assert KEYRING.open(link.url, link.id) == b"https://bank.example/top-up"
    assert "bank.example" not in link.url and link.keeps_ms == 30 * 86_400_000


@pytest.mark.parametrize(
    "url",
    [
        "https://bank.example",
        "https://bank.example:443/a?b=c#d",
        "https://BANK.example/a",
        "https://a.shop.example/",
        "https://a.b.shop.example/",
    ],
)
def test_a_link_leads_to_hosts_of_the_policy(url: str) -> None:
    """Over https, by their names."""
    assert checked_url(RULE, url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://bank.example/",
        "https://bank.example.evil.example/",
        "https://evilbank.example/",
        "https://shop.example/",
        "https://evilshop.example/",
        "https://bank.example@evil.example/",
        "https://evil.example\\@bank.example/",
        "https://bank.example:8443/",
        "https://user:word@bank.example/",
        "https://bank.example/a b",
        "https://bank.example/\nLocation: https://evil.example",
        "https://bänk.example/",
        "https://[bank.example/",
        "javascript:alert(1)",
        "//bank.example/",
        "https://",
        "",
        "https://bank.example/" + "x" * 2_000,
    ],
)
def test_a_link_leads_nowhere_else(url: str) -> None:
    """Not to a host that looks like one of them, nor past it."""
    with pytest.raises(InvalidInput):
        checked_url(RULE, url)


def test_where_the_policy_allows_nothing_nothing_is_allowed() -> None:
    """An empty list is not every host."""
    with pytest.raises(InvalidInput):
        checked_url(LinkRule((), 30), "https://bank.example/")


@pytest.mark.parametrize(
    ("method", "headers", "counts"),
    [
        ("GET", {"user-agent": TAP}, True),
        ("GET", {"user-agent": "Mozilla/5.0 (Linux; Android 16) Chrome/140.0 Mobile Safari/537.36"}, True),
        ("HEAD", {"user-agent": TAP}, False),
        ("GET", {}, False),
        ("GET", {"user-agent": "WhatsApp/2.23.20.0"}, False),
        ("GET", {"user-agent": "facebookexternalhit/1.1 Facebot Twitterbot/1.0"}, False),
        ("GET", {"user-agent": "Mozilla/5.0 (compatible; Googlebot/2.1)"}, False),
        ("GET", {"user-agent": "Slackbot-LinkExpanding 1.0"}, False),
        ("GET", {"user-agent": "curl/8.5.0"}, False),
        ("GET", {"user-agent": TAP, "sec-purpose": "prefetch;prerender"}, False),
        ("GET", {"user-agent": TAP, "purpose": "prefetch"}, False),
        ("GET", {"user-agent": TAP, "x-purpose": "preview"}, False),
    ],
)
def test_people_are_counted_and_what_says_that_it_is_none_is_not(
    method: str, headers: dict[str, str], counts: bool
) -> None:
    """As far as one can tell."""
    assert is_person(method, headers) is counts


def test_the_shipped_policy_allows_examples_only() -> None:
    """Nobody ships a link to a real host by accident."""
    hosts = load(Path(__file__).resolve().parents[3] / "policies").alerts.notices.links.hosts
    assert all(host.endswith(".example") for host in hosts)
