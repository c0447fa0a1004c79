"""Where Redis is, as one URL says it: its form tells one server, a primary among its replicas, or a cluster."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import unquote

from sca_service.kernel.errors import ConfigurationError

_URL = re.compile(
    r"(?P<scheme>rediss?)(?P<plus>\+cluster|\+sentinel)?://(?P<login>[^@/?#]*@)?"
    r"(?P<hosts>[^@/?#]+)(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?"
)
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\],]+)(?::(?P<port>[0-9]{1,5}))?")
_PORT, _SENTINEL_PORT = 6379, 26379


class Arrangement(StrEnum):
    """How servers stand to each other."""

    ONE = "one"
    PRIMARY = "primary"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class Address(NamedTuple):
    """Where a server listens; `host` is the path of a socket when `port` is 0."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """What a URL says. It may hold a password, so it has no `repr`.

    `addresses` are those named: servers, or sentinels, which watch the primary called `watched`.
    """

    arrangement: Arrangement
    addresses: tuple[Address, ...]
    watched: str
    _before: str = field(repr=False)
    _after: str = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> "RedisAddress":
        """Read `unix://…`, `redis[s]://host[,host…]`, `redis[s]+cluster://…` or `redis[s]+sentinel://…/name`.

        Raises ConfigurationError, which does not quote the URL.
        """
        if url.startswith("unix://"):
            return cls(Arrangement.ONE, (Address(url, 0),), "", url, "")
        found = _URL.fullmatch(url)
        hosts = [_HOST.fullmatch(host) for host in found["hosts"].split(",")] if found else []
        if found is None or not all(hosts):
            raise ConfigurationError("the URL of Redis cannot be read")
        path, query = found["path"] or "", found["query"] or ""
        is_watched = found["plus"] == "+sentinel"
        if is_watched and not path.strip("/"):
            raise ConfigurationError("the URL of Redis: name the primary that the sentinels watch")
        port = _SENTINEL_PORT if is_watched else _PORT
        addresses = tuple(
            Address(host["host"].strip("[]"), int(host["port"] or port)) for host in hosts if host
        )
        arrangement = {
            "+cluster": Arrangement.CLUSTER,
            "+sentinel": Arrangement.SENTINEL,
        }.get(found["plus"], Arrangement.PRIMARY if len(addresses) > 1 else Arrangement.ONE)
        return cls(
            arrangement,
            addresses,
            unquote(path.strip("/")) if is_watched else "",
            f"{found['scheme']}://{found['login'] or ''}",
            f"{'' if found['plus'] else path}{query}",
        )

    @property
    def may_fail_over(self) -> bool:
        """Whether another server may take over."""
        return self.arrangement is not Arrangement.ONE

    def url_of(self, address: Address) -> str:
        """The URL of one server, as redis-py reads it."""
        if not address.port:
            return self._before
        host = f"[{address.host}]" if ":" in address.host else address.host
        return f"{self._before}{host}:{address.port}{self._after}"

    def url_of_sentinel(self, address: Address) -> str:
        """The URL of a sentinel: reached as the servers are, without their name and password."""
        return f"{self._before.partition('://')[0]}://{address.host}:{address.port}{self._after}"
