"""How clients come in beside their API keys: the section `[clients]` of the configuration."""

from collections.abc import Mapping
from dataclasses import dataclass

from sca_service.kernel.addresses import Network, read_networks


@dataclass(frozen=True, slots=True)
class Entrance:
    """Whose word on certificates counts (RFC 9440), nobody's as it comes; and whether access is given by OAuth2."""

    certificate_proxies: tuple[Network, ...] = ()
    oauth: bool = False


ENTRANCE_SETTINGS = frozenset({"certificate_proxies", "oauth"})


def read_entrance(content: Mapping[str, object], mistakes: list[str]) -> Entrance:
    """The section `[clients]`. Notes what is wrong with it."""
    proxies = read_networks(content.get("certificate_proxies", []), "clients.certificate_proxies", mistakes)
    if any(network.prefixlen == 0 for network in proxies):
        mistakes.append("clients.certificate_proxies: must not be everybody")
    oauth = content.get("oauth", False)
    if not isinstance(oauth, bool):
        mistakes.append("clients.oauth: must be true or false")
    return Entrance(proxies, oauth is True)
