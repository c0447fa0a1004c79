"""Which server is to be asked for a slot: what the servers themselves, or sentinels, say of it."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import redis.exceptions
from redis.asyncio import Redis
from redis.asyncio.sentinel import Sentinel

from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.redis.address import Address, Arrangement, RedisAddress
from sca_service.kernel.redis.commands import SLOTS

_LOOK_SECONDS: Final = 0.35
"""How long a server may take to say where it stands; less than any call may."""
_FAULTS = (redis.exceptions.RedisError, OSError, TimeoutError, ValueError)


@dataclass(frozen=True, slots=True)
class Owners:
    """Who decides about each slot; `answered` are the servers that were heard."""

    of_slot: Sequence[Address | None]
    answered: frozenset[Address]

    @property
    def primaries(self) -> tuple[Address, ...]:
        """All that own a slot."""
        return tuple(dict.fromkeys(address for address in self.of_slot if address))


class Whereabouts(Protocol):
    """Finds out who owns the slots."""

    async def look(self, known: Iterable[Address]) -> Owners:
        """Who owns each slot now, as told by those known and named. Raises StoreUnavailable when nobody says."""


def whereabouts(address: RedisAddress, client_of: Callable[[Address], Redis]) -> Whereabouts:
    """What looks where the servers of this URL are; `client_of` reaches a server."""
    match address.arrangement:
        case Arrangement.CLUSTER:
            return _OfCluster(address.addresses, client_of)
        case Arrangement.SENTINEL:
            return _OfSentinels(address)
        case _:
            return _OfPrimary(address.addresses, client_of)


class _OfCluster:
    """Asks every node and believes, of each slot, the claim of the highest epoch, as the nodes do themselves.

    So a node that was cut off, or stopped for a while, convinces nobody who hears the others.
    """

    def __init__(self, named: Sequence[Address], client_of: Callable[[Address], Redis]) -> None:
        self._named = named
        self._client_of = client_of

    async def look(self, known: Iterable[Address]) -> Owners:
        asked = tuple(dict.fromkeys((*known, *self._named)))
        told = await _all_told(asked, self._told_by)
        owners: list[Address | None] = [None] * SLOTS
        epochs = [-1] * SLOTS
        for asked_at, nodes in told.items():
            for address, epoch, first, last in _claims(nodes, asked_at.host):
                for slot in range(first, last + 1):
                    if epoch > epochs[slot]:
                        owners[slot], epochs[slot] = address, epoch
        if not any(owners):
            raise StoreUnavailable("no node of the Redis cluster says where its slots are")
        return Owners(owners, frozenset(told))

    async def _told_by(self, address: Address) -> Any:
        return await self._client_of(address).execute_command("CLUSTER NODES")  # type: ignore[no-untyped-call]


def _claims(
    nodes: Mapping[str, Mapping[str, Any]], asked_host: str
) -> Iterable[tuple[Address, int, int, int]]:
    """What primaries claim to own: where they are, the epoch of the claim, the first slot and the last."""
    for place, node in nodes.items():
        if "master" not in node["flags"].split(",") or "noaddr" in node["flags"]:
            continue
        ip, _, port = place.rpartition(":")
        host = node["hostname"] or ip.strip("[]") or asked_host
        for first, *last in node["slots"]:
            yield Address(host, int(port)), int(node["epoch"]), int(first), int(last[0] if last else first)


class _OfPrimary:
    """Asks each of the named hosts, and takes the one that is primary.

    When two say so, one was promoted while the other was away: a promoted server remembers whose history it went on
    with (`master_replid2`), so it is known which of them succeeded the other.
    """

    def __init__(self, named: Sequence[Address], client_of: Callable[[Address], Redis]) -> None:
        self._named = named
        self._client_of = client_of

    async def look(self, known: Iterable[Address]) -> Owners:
        told = await _all_told(tuple(dict.fromkeys((*self._named, *known))), self._told_by)
        primaries = {address: one for address, one in told.items() if one["role"] == "master"}
        succeeded = {one["master_replid2"] for one in primaries.values()}
        newest = [address for address, one in primaries.items() if one["master_replid"] not in succeeded]
        if (
            len(newest) != 1
        ):  # none, or two that know nothing of each other: guessing would divide what is kept
            raise StoreUnavailable("of the named Redis servers not exactly one is primary")
        return Owners(newest * SLOTS, frozenset(told))

    async def _told_by(self, address: Address) -> Any:
        return await self._client_of(address).info("replication")


class _OfSentinels:
    """Asks the sentinels who is primary."""

    def __init__(self, address: RedisAddress) -> None:
        self._address = address

    async def look(self, known: Iterable[Address]) -> Owners:
        sentinels = Sentinel([])  # type: ignore[no-untyped-call]
        sentinels.sentinels = [
            Redis.from_url(
                self._address.url_of_sentinel(each),
                socket_timeout=_LOOK_SECONDS,
                socket_connect_timeout=_LOOK_SECONDS,
            )
            for each in self._address.addresses
        ]
        try:
            host, port = await sentinels.discover_master(self._address.watched)
        except _FAULTS as error:
            raise StoreUnavailable("no sentinel says which Redis is primary") from error
        finally:
            for sentinel in sentinels.sentinels:
                await sentinel.aclose()
        primary = Address(host.decode() if isinstance(host, bytes) else host, int(port))
        return Owners([primary] * SLOTS, frozenset({primary}))


async def _all_told(
    asked: Sequence[Address], ask: Callable[[Address], Any]
) -> dict[Address, Mapping[str, Any]]:
    """What each said that answered in time."""

    async def in_time(address: Address) -> Mapping[str, Any] | None:
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                told: Mapping[str, Any] = await ask(address)
                return told
        except _FAULTS:
            return None

    found = await asyncio.gather(*map(in_time, asked))
    return {address: told for address, told in zip(asked, found, strict=True) if told}
