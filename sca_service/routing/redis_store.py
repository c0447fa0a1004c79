"""What all workers know of the suppliers together, in Redis: breakers, counters, volumes, and looked-up networks.

Everything about one supplier lies on one slot, `{route:<supplier>}:…`, and goes away by itself.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.redis.commands import Script
from sca_service.policy.supply import BreakerRule
from sca_service.routing.breaker import BreakerState, is_failure
from sca_service.routing.model import Route, SendOutcome
from sca_service.routing.scorecard import LATENCY_BOUNDS_MS, Counters, bucket_of

_FOLDER = Path(__file__).parent
_OBSERVE, _COUNT, _PROBE, _GLANCE = (
    Script.read(_FOLDER / "breaker.lua", _FOLDER / f"{name}.lua")
    for name in ("observe", "count", "probe", "glance")
)
_DELIVERED, _UNDELIVERED, _APPROVED = "d", "u", "a"
_FIELDS = {
    "s": "sent",
    "c": "codes",
    _DELIVERED: "delivered",
    _UNDELIVERED: "undelivered",
    _APPROVED: "approved",
}
_UNKNOWN_NETWORK = "-"


@dataclass(frozen=True, slots=True)
class Glance:
    """One supplier as Redis knows it: its breaker, the parts of this month, and counters by step and network.

    `step` numbers the step under way; `steps` are that one, the one before, and so on.
    """

    breaker: BreakerState
    volume: int
    step: int
    steps: tuple[Mapping[str, Counters], ...]


class RouteStore:
    """Counts and reads what becomes of messages. A class because it holds the connection."""

    def __init__(self, redis: RedisConnection, rule: BreakerRule) -> None:
        self._redis = redis
        self._rule = rule

    def observe(self, route: Route, outcome: SendOutcome, *, probe: int) -> "asyncio.Future[Any]":
        """Count a send; `probe` is its number when it was one. Raises StoreUnavailable when too much waits."""
        taken = route.segments if outcome is SendOutcome.TAKEN else 0
        rule = self._rule
        return self._redis.submit(
            _OBSERVE,
            _keys(route.supplier),
            (
                int(is_failure(outcome)),
                probe,
                rule.failures,
                rule.window,
                rule.open_seconds * 1000,
                route.network,
                taken,
                int(route.with_code),
            ),
        )

    def received(
        self, supplier: str, network: str, *, arrived: bool, latency_ms: int
    ) -> "asyncio.Future[Any]":
        """Count a receipt and how long it took. Raises StoreUnavailable when too much waits."""
        fields = [_DELIVERED, f"l{bucket_of(latency_ms)}"] if arrived else [_UNDELIVERED]
        return self._redis.submit(_COUNT, [_keys(supplier)[1]], (network, *fields))

    def converted(self, supplier: str, network: str) -> "asyncio.Future[Any]":
        """Count an approval that a delivery led to. Raises StoreUnavailable when too much waits."""
        return self._redis.submit(_COUNT, [_keys(supplier)[1]], (network, _APPROVED))

    async def claim_probe(self, supplier: str) -> int:
        """The number of the probe that the caller may send, or 0. Raises StoreUnavailable."""
        return int(await self._redis.call(_PROBE, _keys(supplier)[:1], ()))

    async def glance(self, supplier: str, *, steps: int) -> Glance:
        """What is known of a supplier, with so many steps of its counters. Raises StoreUnavailable."""
        wait_ms, volume, step, *counted = await self._redis.call(_GLANCE, _keys(supplier), (steps,))
        states = {0: BreakerState.CLOSED, 1: BreakerState.HALF_OPEN}
        return Glance(
            breaker=states.get(int(wait_ms), BreakerState.OPEN),
            volume=int(volume),
            step=int(step),
            steps=tuple(_counters(flat) for flat in counted),
        )


class NetworkStore:
    """Remembers the networks of numbers by their pseudonyms. A class because it holds what is being written."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis
        self._writing: set[asyncio.Task[None]] = set()

    async def find(self, pseudonym: str) -> str | None:
        """The network that was looked up, empty when the look-up knew none; None when it is not remembered.

        Raises StoreUnavailable.
        """
        held = await self._redis.command("GET", _network_key(pseudonym))
        if held is None:
            return None
        network = bytes(held).decode()
        return "" if network == _UNKNOWN_NETWORK else network

    def remember(self, pseudonym: str, network: str, *, seconds: int) -> None:
        """Keep the answer of a look-up, an empty one too; never waits. What Redis does not take is looked up again."""
        task = asyncio.get_running_loop().create_task(
            self._write(_network_key(pseudonym), network or _UNKNOWN_NETWORK, seconds)
        )
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, key: str, network: str, seconds: int) -> None:
        with suppress(StoreUnavailable):
            await self._redis.command("SET", key, network, "EX", seconds)


def _keys(supplier: str) -> list[str]:
    return [f"{{route:{supplier}}}:{name}" for name in ("breaker", "count", "volume")]


def _network_key(pseudonym: str) -> str:
    return f"network:{pseudonym}"


def _counters(flat: Sequence[bytes]) -> Mapping[str, Counters]:
    found: dict[str, Counters] = {}
    for name, amount in zip(flat[::2], flat[1::2], strict=True):
        network, _, field = name.decode().rpartition("|")
        counters = found.setdefault(network, Counters())
        if field in _FIELDS:
            setattr(counters, _FIELDS[field], int(amount))
        else:
            counters.latencies[min(int(field[1:]), len(LATENCY_BOUNDS_MS))] += int(amount)
    return found
