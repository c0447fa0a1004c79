"""Chooses the route of every message, and learns from what becomes of it.

What is known of the suppliers is read in the background, at most once a second: a send waits for nothing but the probe
of a supplier that was left alone. What is counted is sent along and never waited for.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from prometheus_client import Counter

from sca_service.kernel.errors import ScaError, StoreUnavailable
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.telemetry import BREAKER_STATE, ROUTES_CHOSEN, ROUTES_MISSING, ROUTES_UNCOUNTED
from sca_service.policy.model import Channel, Occasion, Purpose
from sca_service.policy.supply import SupplierRule, SupplyPolicy
from sca_service.routing.breaker import BreakerState
from sca_service.routing.choose import choose_among, rule_for
from sca_service.routing.model import (
    Destination,
    Route,
    RouteChoice,
    RouteReason,
    RouteRequest,
    SendOutcome,
)
from sca_service.routing.offers import Offers, offers_for
from sca_service.routing.portability import Portability
from sca_service.routing.redis_store import Glance, RouteStore
from sca_service.routing.scorecard import BUCKET_SECONDS, BUCKETS, Counters, Scorecard, scores_of

REFRESH_SECONDS = 1.0
_MOST_OFFERS = 4_096
_STATE_NUMBERS = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}
_NOWHERE = Destination()


@dataclass(slots=True)
class _Seen:
    """What this process has read of one supplier: counters by the number of their step."""

    steps: dict[int, dict[str, Counters]] = field(default_factory=dict)
    read_at: float = 0.0


class Router:
    """Chooses routes. A class because it holds what is known of the suppliers."""

    def __init__(self, *, supply: SupplyPolicy, portability: Portability, store: RouteStore) -> None:
        self._supply = supply
        self._portability = portability
        self._store = store
        self._offers: dict[tuple[object, ...], Offers] = {}
        self._seen = {supplier.name: _Seen() for supplier in supply.suppliers}
        self._scores = Scorecard()
        self._volumes: dict[str, int] = {}
        self._probes: dict[str, int] = {}
        self._refresh_at = 0.0
        self._is_known = False
        self._refreshing: asyncio.Task[None] | None = None

    async def choose(  # noqa: PLR0913 - all that is known of one message
        self,
        channel: Channel,
        number: PhoneNumber | None,
        *,
        purpose: Purpose | None,
        occasion: Occasion | None,
        segments: int,
        tried: tuple[str, ...],
        prefer: str = "",
        spent: tuple[str, ...] = (),
    ) -> RouteChoice:
        """The route for one message to a number (None: the channel knows none). Never raises.

        `spent` are suppliers whose money is spent: they are passed over.
        Waits for a look-up of the number's network (bounded by the policy), and for the claim of a probe.
        """
        await self._be_current()
        destination = await self._portability.destination(number) if number else _NOWHERE
        request = RouteRequest(channel, destination, purpose, occasion, segments, tried, prefer)
        offers = self._offers_for(request).without(spent)
        scores = await self._with_probe(offers, request)
        rule = rule_for(request, self._supply)
        choice = choose_among(offers, request, rule, scores, volumes=self._volumes)
        if choice.route:
            _chosen(channel, choice.route.supplier, choice.route.reasons[0]).inc()
        else:
            ROUTES_MISSING.labels(channel).inc()
        return choice

    def observe(self, route: Route, outcome: SendOutcome, latency_ms: int) -> None:
        """What came of handing a message over, after so long. Never raises and never waits."""
        probe = self._probes.pop(route.supplier, 0) if RouteReason.PROBE in route.reasons else 0
        self._count(lambda: self._store.observe(route, outcome, probe=probe))
        if outcome is SendOutcome.TAKEN:
            self._volumes[route.supplier] = self._volumes.get(route.supplier, 0) + route.segments

    def received(self, supplier: str, network: str, *, arrived: bool, latency_ms: int) -> None:
        """A receipt: whether the message arrived, so long after it was sent. Never raises and never waits."""
        if supplier in self._seen:
            self._count(
                lambda: self._store.received(supplier, network, arrived=arrived, latency_ms=latency_ms)
            )

    def converted(self, supplier: str, network: str) -> None:
        """A delivery of this supplier led to an approval. Never raises and never waits."""
        if supplier in self._seen:
            self._count(lambda: self._store.converted(supplier, network))

    async def refresh(self) -> None:
        """Read what is known of every supplier. Raises StoreUnavailable."""
        now = asyncio.get_running_loop().time()
        glances = await asyncio.gather(*(self._glance(supplier, now) for supplier in self._supply.suppliers))
        qualities, breakers = {}, {}
        for supplier, glance in zip(self._supply.suppliers, glances, strict=True):
            steps = self._seen[supplier.name].steps
            aged = [(glance.step - step, counted) for step, counted in steps.items()]
            await asyncio.sleep(0)  # a supplier's networks are many: messages may go in between
            for network, score in scores_of(aged).items():
                qualities[supplier.name, network] = score.quality
            breakers[supplier.name] = glance.breaker
            self._volumes[supplier.name] = glance.volume
            BREAKER_STATE.labels(supplier.name).set(_STATE_NUMBERS[glance.breaker])
        self._scores = Scorecard(qualities, breakers)
        self._is_known = True

    async def close(self) -> None:
        """End what goes on in the background."""
        if self._refreshing:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)

    async def _be_current(self) -> None:
        """See to it that what is known is a second old at most; wait for it the first time only."""
        loop = asyncio.get_running_loop()
        if loop.time() >= self._refresh_at and (self._refreshing is None or self._refreshing.done()):
            self._refresh_at = loop.time() + REFRESH_SECONDS
            self._refreshing = loop.create_task(self._refresh_quietly())
        if not self._is_known and self._refreshing is not None:
            await asyncio.wait({self._refreshing})

    async def _refresh_quietly(self) -> None:
        try:
            await self.refresh()
        except ScaError:
            ROUTES_UNCOUNTED.inc()  # what was known last goes on counting

    async def _glance(self, supplier: SupplierRule, now: float) -> Glance:
        """Read a supplier's counters: all steps when none was read lately, else those that may have changed."""
        seen = self._seen[supplier.name]
        is_recent = bool(seen.steps) and now - seen.read_at < BUCKET_SECONDS / 2
        glance = await self._store.glance(supplier.name, steps=2 if is_recent else BUCKETS)
        for age, counted in enumerate(glance.steps):
            seen.steps[glance.step - age] = dict(counted)
        seen.steps = {step: counted for step, counted in seen.steps.items() if step > glance.step - BUCKETS}
        seen.read_at = now
        return glance

    def _offers_for(self, request: RouteRequest) -> Offers:
        """What the policy says never changes: it is worked out once for every kind of destination."""
        destination = request.destination
        key = (request.channel, destination.country, destination.network, request.occasion)
        offers = self._offers.get(key)
        if offers is None:
            if len(self._offers) >= _MOST_OFFERS:
                self._offers.clear()
            offers = self._offers[key] = offers_for(request, self._supply)
        return offers

    async def _with_probe(self, offers: Offers, request: RouteRequest) -> Scorecard:
        """What is known; with a half-open supplier as one to be tried when this message may be the one to do so."""
        scores = self._scores
        if request.prefer:
            return scores  # a probe that is not sent would keep others from trying
        for offer in offers.offers:
            name = offer.supplier
            if scores.breaker(name) is not BreakerState.HALF_OPEN or name in request.tried:
                continue
            # Nobody else of this process asks again before the next look: it is being tried, or was tried just now.
            self._scores = _with_breaker(self._scores, name, BreakerState.OPEN)
            try:
                probe = await self._store.claim_probe(name)
            except StoreUnavailable:
                continue
            if probe:
                self._probes[name] = probe
                return _with_breaker(scores, name, BreakerState.PROBING)
        return self._scores

    def _count(self, submit: Callable[[], "asyncio.Future[Any]"]) -> None:
        try:
            submit().add_done_callback(_looked_at)
        except ScaError:
            ROUTES_UNCOUNTED.inc()


@cache
def _chosen(channel: Channel, supplier: str, reason: RouteReason) -> Counter:
    """The counter of one kind of choice. Remembered because finding it takes as long as half the choice."""
    return ROUTES_CHOSEN.labels(channel, supplier, reason)


def _with_breaker(scores: Scorecard, supplier: str, state: BreakerState) -> Scorecard:
    return Scorecard(scores.qualities, {**scores.breakers, supplier: state})


def _looked_at(future: "asyncio.Future[Any]") -> None:
    """Count what was lost; it is of no more consequence than a message more or less in the statistics."""
    if future.cancelled() or future.exception() is not None:
        ROUTES_UNCOUNTED.inc()
