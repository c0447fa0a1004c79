"""Network addresses: whose a request is behind proxies, what counts as one address, and which are public."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_ONE_SITE = 64
"""Bits of an IPv6 address that one connection has at least (RFC 6177): whoever has it chooses the others at will."""
ADDRESSES_REMEMBERED = 1024
_AROUND_IPV4 = (24, 16)
_AROUND_IPV6 = (56, 48, 32)
"""Bits of the wider networks that an address is looked up by: a household's or a site's, and an operator's."""


def site_of(address: str) -> str | None:
    """What an address is counted as: IPv4 as it is, IPv6 by its /64; None for what is no address.

    An IPv4 address in IPv6 (`::ffff:192.0.2.1`) is the IPv4 address; a zone (`%eth0`) makes no difference.
    """
    return _places(address)[0]


def network_of(text: str) -> str | None:
    """What an address or a network is counted as; None for anything else, and for a network of another size.

    An address is counted as `site_of` says; networks are those that `networks_around` finds, written without host bits.
    """
    if "/" not in text:
        return site_of(text)
    try:
        found = ipaddress.ip_network(text)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv4Network):
        return str(found) if found.prefixlen in _AROUND_IPV4 else None
    return str(found) if found.prefixlen in (_ONE_SITE, *_AROUND_IPV6) else None


def networks_around(address: str) -> tuple[str, ...]:
    """The networks that an address lies in, the narrowest first; none for what is no address."""
    return _places(address)[1]


@lru_cache(maxsize=ADDRESSES_REMEMBERED)
def _places(address: str) -> tuple[str | None, tuple[str, ...]]:
    """What an address is counted as, and the networks around it. Remembered: one request asks for it five times."""
    found = _parsed(address)
    if found is None:
        return None, ()
    if isinstance(found, ipaddress.IPv4Address):
        first, second, third, _ = found.packed
        return str(found), (f"{first}.{second}.{third}.0/24", f"{first}.{second}.0.0/16")
    around = (ipaddress.IPv6Network((int(found), bits), strict=False) for bits in _AROUND_IPV6)
    return str(ipaddress.IPv6Network((int(found), _ONE_SITE), strict=False)), tuple(map(str, around))


def sender_of(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """The address that a request came from: the peer's, or what proxies of ours say of it.

    `forwarded` are the values of `X-Forwarded-For` in their order. Each proxy adds whom it heard from at the end, so
    they are read from there, and no further than proxies of ours have written: what stands before that anybody can
    write. What cannot be read as an address ends the reading.
    """
    told = [address.strip() for value in forwarded for address in value.split(",")]
    sender = peer
    while told and _is_within(sender, trusted):
        before = _parsed(told.pop())
        if before is None:
            break
        sender = str(before)
    return sender


_LEADS_ELSEWHERE = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "::/96",  # IPv4-compatible, long out of use (RFC 4291, 2.5.5.1)
        "64:ff9b::/96",  # NAT64: an IPv4 address of any kind (RFC 6052)
        "64:ff9b:1::/48",  # NAT64 within a site (RFC 8215)
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
    )
)
"""IPv6 networks in whose addresses an IPv4 address is hidden, which may be any."""


def is_public(address: str) -> bool:
    """Whether an address is one of the open Internet: nothing private, local, shared, reserved, mapped or multicast.

    False for what is no address. IANA's registries of special-purpose addresses (RFC 6890) say what is global.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and (
        found.scope_id or found.ipv4_mapped or any(found in network for network in _LEADS_ELSEWHERE)
    ):
        return False
    return found.is_global and not found.is_multicast and not found.is_reserved


def is_loopback(address: str) -> bool:
    """Whether an address is this very machine's; one in disguise (`::ffff:127.0.0.1`) is not taken for it."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return found.is_loopback and not (isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped)


class Proxies:
    """The proxies that are ours, whose word on addresses counts. A class because it holds their networks."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = networks

    def sender_behind(self, peer: str, forwarded: Sequence[str]) -> str:
        """The address that a request came from, see `sender_of`."""
        return sender_of(peer, forwarded, self._networks)

    def include(self, address: str) -> bool:
        """Whether an address is that of one of them."""
        return _is_within(address, self._networks)

    def stranger_behind(self, peer: str, forwarded: Sequence[str]) -> str:
        """The same, "" where nobody can be told apart: without a proxy of ours, or when one said nothing.

        A proxy that is not known here would be taken for everybody behind it.
        """
        sender = self.sender_behind(peer, forwarded) if self._networks else ""
        return "" if _is_within(sender, self._networks) else sender


def read_networks(content: object, setting: str, mistakes: list[str]) -> tuple[Network, ...]:
    """The networks that a setting lists, as `10.0.0.0/8` or a single address. Notes what is wrong with it."""
    if not isinstance(content, list):
        mistakes.append(f"{setting}: must be a list")
        return ()
    found = []
    for text in content:
        try:
            if not isinstance(text, str):
                raise ValueError(text)
            found.append(ipaddress.ip_network(text))
        except ValueError:
            mistakes.append(f"{setting}: must list addresses and networks such as 10.0.0.0/8")
            return ()
    return tuple(found)


def _is_within(address: str, networks: Sequence[Network]) -> bool:
    found = _parsed(address)
    return found is not None and any(found in network for network in networks)


def _parsed(text: str) -> _Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv4Address):
        return found
    return found.ipv4_mapped or ipaddress.IPv6Address(int(found))  # without its zone
