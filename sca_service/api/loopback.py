"""Whether somebody on this machine asks: the sandbox's endpoints and its page are for nobody else."""

import ipaddress
from typing import Any

from litestar.connection import ASGIConnection

PAGE_HOST = "localhost"
"""The one name that a browser both takes for this machine and binds passkeys to (WebAuthn section 5.1.2)."""

_OWN_NAMES = ("127.0.0.1", PAGE_HOST, "::1")
_OF_PROXIES = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


def is_on_loopback(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Whether the peer is this machine and asked for it by a name of its own.

    The name is looked at for the sake of a page elsewhere whose own name was made to point here, and what proxies add
    for the sake of a tunnel on this machine, which writes one of our names over the one that was asked for.
    """
    if any(name in connection.headers for name in _OF_PROXIES):
        return False
    host = connection.client.host if connection.client else ""
    return (
        bool(host) and ipaddress.ip_address(host).is_loopback and connection.base_url.hostname in _OWN_NAMES
    )
