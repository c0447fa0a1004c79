"""Chooses the route of a message: a pure function of policy, price, quality and what is known of the suppliers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sca_service.kernel.money import Price
from sca_service.policy.supply import RoutingRule, SupplyPolicy
from sca_service.routing.breaker import BreakerState
from sca_service.routing.model import Route, RouteChoice, RouteReason, RouteRequest
from sca_service.routing.offers import Offer, Offers, offers_for
from sca_service.routing.scorecard import Scorecard


class Candidate(NamedTuple):
    """A supplier that could carry the message now. A tuple because one is made per supplier and message.

    `own_micros` is the price of a part in millionths of the bank's own currency times a million, `worth` what price and
    quality come to, 0 to 1.
    """

    offer: Offer
    price_micros: int
    own_micros: int
    quality: float
    worth: float


def choose_route(
    request: RouteRequest, supply: SupplyPolicy, scores: Scorecard, *, volumes: Mapping[str, int]
) -> RouteChoice:
    """The best route and why, and why no other; `volumes` are the parts that each supplier carried this month.

    Ties are settled by name. Suppliers that failed this message already come last, when no other is left.
    """
    rule = rule_for(request, supply)
    return choose_among(offers_for(request, supply), request, rule, scores, volumes=volumes)


def rule_for(request: RouteRequest, supply: SupplyPolicy) -> RoutingRule:
    """How the policy weighs what the request is for."""
    return supply.alert_routing if request.purpose is None else supply.routing[request.purpose]


def choose_among(
    offers: Offers, request: RouteRequest, rule: RoutingRule, scores: Scorecard, *, volumes: Mapping[str, int]
) -> RouteChoice:
    """As `choose_route`, among offers that are known already."""
    passed_over = list(offers.passed_over)
    usable = []
    for offer in offers.offers:
        if scores.breaker(offer.supplier) in (BreakerState.OPEN, BreakerState.HALF_OPEN):
            passed_over.append((offer.supplier, RouteReason.BREAKER_OPEN))
        else:
            usable.append(offer)
    if not usable:
        return RouteChoice(None, tuple(passed_over))
    candidates = weigh(usable, request, rule, scores, volumes=volumes)
    fresh = [one for one in candidates if one.offer.supplier not in request.tried]
    chosen, reasons = _settle(fresh or candidates, request, scores, is_only=len(usable) == 1)
    if not fresh:
        reasons = (*reasons, RouteReason.TRIED_BEFORE)
    for other in candidates:
        if other is not chosen:
            was_tried = other.offer.supplier in request.tried
            reason = RouteReason.TRIED_BEFORE if was_tried else RouteReason.OUTWEIGHED
            passed_over.append((other.offer.supplier, reason))
    return RouteChoice(_route(chosen, request, reasons), tuple(passed_over))


def weigh(
    offers: Sequence[Offer],
    request: RouteRequest,
    rule: RoutingRule,
    scores: Scorecard,
    *,
    volumes: Mapping[str, int],
) -> list[Candidate]:
    """Every offer with its price, quality and worth, the best first.

    A price counts by how near it comes to the lowest: twice as much is worth half. So a worse offer more or less never
    changes the order of two others, and none gets worse by becoming cheaper or better.
    """
    priced = [(offer, offer.price_micros(volumes.get(offer.supplier, 0))) for offer in offers]
    lowest = min([micros * offer.rate for offer, micros in priced])
    share = rule.price_weight / 100
    network = request.destination.network
    candidates = []
    for offer, micros in priced:
        own = micros * offer.rate
        quality = scores.quality(offer.supplier, network)
        worth = share * (lowest / own if own else 1.0) + (1 - share) * quality
        candidates.append(Candidate(offer, micros, own, quality, worth))
    candidates.sort(key=_rank)
    return candidates


def _rank(candidate: Candidate) -> tuple[float, int, float, str]:
    return (-candidate.worth, candidate.own_micros, -candidate.quality, candidate.offer.supplier)


def _settle(
    candidates: Sequence[Candidate], request: RouteRequest, scores: Scorecard, *, is_only: bool
) -> tuple[Candidate, tuple[RouteReason, ...]]:
    """The one to take, and why."""
    for one in candidates:
        if one.offer.supplier == request.prefer:
            return one, (RouteReason.REPEATED,)
    for one in candidates:
        if scores.breaker(one.offer.supplier) is BreakerState.PROBING:
            return one, (RouteReason.PROBE,)
    best = candidates[0]
    if is_only:
        return best, (RouteReason.ONLY_ROUTE,)
    reasons = []
    if best.own_micros == min(one.own_micros for one in candidates):
        reasons.append(RouteReason.CHEAPEST)
    if best.quality == max(one.quality for one in candidates):
        reasons.append(RouteReason.BEST_QUALITY)
    return best, tuple(reasons) or (RouteReason.BEST_WEIGHED,)


def _route(chosen: Candidate, request: RouteRequest, reasons: tuple[RouteReason, ...]) -> Route:
    offer = chosen.offer
    return Route(
        supplier=offer.supplier,
        channel=request.channel,
        network=request.destination.network,
        sender=offer.sender,
        price=Price(offer.currency, chosen.price_micros * request.segments),
        reasons=reasons,
        segments=request.segments,
        with_code=request.purpose is not None,
    )
