"""Addresses: what counts as one, and whose a request is behind proxies."""

import ipaddress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sca_service.kernel.addresses import (
    Proxies,
    network_of,
    networks_around,
    read_networks,
    sender_of,
    site_of,
)

PEER = "203.0.113.9"
OURS = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8:aa::/48")]
ANYTHING = st.lists(st.one_of(st.ip_addresses().map(str), st.text(max_size=40)), max_size=5)


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("203.0.113.7:443", None),
        ("203.0.113.007", None),
        ("unknown", None),
        ("", None),
    ],
)
def test_an_address_counts_as_what_one_connection_has(address: str, site: str | None) -> None:
    """Whoever has one IPv6 address has 2^64 of them; every spelling is the same one."""
    assert site_of(address) == site


@given(ANYTHING)
def test_without_proxies_of_ours_no_header_counts(forwarded: list[str]) -> None:
    """Whatever a stranger writes into X-Forwarded-For, and however often it changes."""
    assert sender_of(PEER, forwarded, []) == PEER
    assert sender_of(PEER, forwarded, OURS) == PEER


@given(ANYTHING)
def test_behind_a_proxy_only_what_it_added_counts(forwarded: list[str]) -> None:
    """What a stranger had written before stands to the left of it, and is not read."""
    assert sender_of("10.1.2.3", [*forwarded, "198.51.100.4"], OURS) == "198.51.100.4"
    assert sender_of("10.1.2.3", [", ".join([*forwarded, "198.51.100.4"])], OURS) == "198.51.100.4"


@pytest.mark.parametrize(
    ("peer", "forwarded", "sender"),
    [
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", ["198.51.100.4, 10.9.9.9"], "198.51.100.4"),
        ("10.1.2.3", ["198.51.100.4", "10.9.9.9"], "198.51.100.4"),
        ("::ffff:10.1.2.3", ["198.51.100.4"], "198.51.100.4"),
        ("2001:db8:aa::1", ["2001:db8:ff::2"], "2001:db8:ff::2"),
        ("10.1.2.3", ["198.51.100.4, unknown"], "10.1.2.3"),
        ("10.1.2.3", ["198.51.100.4, "], "10.1.2.3"),
        ("10.1.2.3", ["10.4.4.4"], "10.4.4.4"),
        ("testclient", ["198.51.100.4"], "testclient"),
    ],
)
def test_proxies_of_ours_are_followed_to_whom_the_first_one_heard(
    peer: str, forwarded: list[str], sender: str
) -> None:
    """From the right, as far as each step was written by a proxy of ours and can be read."""
    assert sender_of(peer, forwarded, OURS) == sender


@pytest.mark.parametrize(
    ("trusts", "peer", "forwarded", "stranger"),
    [
        (False, "10.1.2.3", ["198.51.100.4"], ""),
        (False, PEER, [], ""),
        (True, "10.1.2.3", ["198.51.100.4"], "198.51.100.4"),
        (True, "10.1.2.3", [], ""),
        (True, "10.1.2.3", ["198.51.100.4, 10.4.4.4, unknown"], ""),
        (True, PEER, ["198.51.100.4"], PEER),
    ],
)
def test_strangers_are_told_apart_behind_proxies_of_ours_only(
    trusts: bool, peer: str, forwarded: list[str], stranger: str
) -> None:
    """Where no proxy is named every peer may be one, and where one says nothing it stands for everybody behind it."""
    assert Proxies(OURS if trusts else ()).stranger_behind(peer, forwarded) == stranger


def test_networks_are_read_from_the_configuration() -> None:
    """Networks and single addresses of both kinds."""
    mistakes: list[str] = []
    found = read_networks(["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"], "api.trusted_proxies", mistakes)
    assert [str(one) for one in found] == ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]
    assert mistakes == []


@pytest.mark.parametrize("content", ["10.0.0.0/8", [10], ["10.0.0.1/8"], ["proxy.example"], [None], {"a": 1}])
def test_what_names_no_network_is_a_mistake(content: object) -> None:
    """A typing mistake must not let anybody be believed."""
    mistakes: list[str] = []
    assert read_networks(content, "api.trusted_proxies", mistakes) == ()
    assert len(mistakes) == 1
    assert mistakes[0].startswith("api.trusted_proxies: must")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("203.0.113.0/24", "203.0.113.0/24"),
        ("203.0.0.0/16", "203.0.0.0/16"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:DB8::/64", "2001:db8::/64"),
        ("2001:db8:0::/48", "2001:db8::/48"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("203.0.113.7/24", None),
        ("203.0.113.0/25", None),
        ("0.0.0.0/0", None),
        ("2001:db8::/33", None),
        ("::/0", None),
        ("localhost", None),
        ("", None),
    ],
)
def test_a_network_has_one_name_and_one_of_four_sizes(text: str, name: str | None) -> None:
    """What nobody looks up by cannot be listed."""
    assert network_of(text) == name


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.ip_addresses())
def test_an_address_is_found_by_each_network_around_it(address: Any) -> None:
    """Whatever network is listed that it lies in, the look-up asks for it by the same name."""
    around = networks_around(str(address))
    told = address.ipv4_mapped if address.version == 6 and address.ipv4_mapped else address
    assert len(around) == (2 if told.version == 4 else 3)
    for network in around:
        assert told in ipaddress.ip_network(network)
        assert network_of(network) == network
