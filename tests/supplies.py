"""Supplies made up for tests: a few suppliers with a price each."""

from collections.abc import Iterable, Mapping

from sca_service.policy.supply import (
    BreakerRule,
    NetworkPrice,
    PriceTier,
    RoutingRule,
    SenderKind,
    SenderRule,
    SupplierRule,
    SupplyPolicy,
)
from sca_service.policy.words import Channel, Occasion, Purpose
from sca_service.routing.model import Destination, RouteRequest

BANK = SenderRule("*", Channel.SMS, "BANK", SenderKind.ALPHANUMERIC)
GERMANY = Destination("DE", "262-01")


def supplier(
    name: str,
    price_micros: int = 70_000,
    *,
    channel: Channel = Channel.SMS,
    countries: tuple[str, ...] = (),
    currency: str = "EUR",
    prices: tuple[NetworkPrice, ...] | None = None,
) -> SupplierRule:
    """A supplier that costs the same everywhere, unless it has prices of its own."""
    flat = (NetworkPrice("*", (PriceTier(0, price_micros),)),)
    return SupplierRule(name, "sandbox", channel, countries, currency, flat if prices is None else prices, {})


def supply(
    suppliers: Iterable[SupplierRule],
    *,
    senders: tuple[SenderRule, ...] = (BANK,),
    must_register: Iterable[str] = (),
    price_weight: int = 50,
    exchange: Mapping[str, int] | None = None,
) -> SupplyPolicy:
    """A policy of these suppliers that weighs every purpose alike, and alerts by price alone."""
    return SupplyPolicy(
        suppliers=tuple(suppliers),
        senders=senders,
        must_register=frozenset(must_register),
        networks=(),
        routing={purpose: RoutingRule(price_weight) for purpose in Purpose},
        alert_routing=RoutingRule(100),
        breaker=BreakerRule(failures=3, window=6, open_seconds=30),
        exchange={"EUR": 1_000_000} if exchange is None else exchange,
    )


def request(
    destination: Destination = GERMANY,
    *,
    channel: Channel = Channel.SMS,
    purpose: Purpose | None = Purpose.PAYMENT,
    occasion: Occasion | None = Occasion.PAYMENT,
    segments: int = 1,
    tried: tuple[str, ...] = (),
    prefer: str = "",
) -> RouteRequest:
    """A payment's text to Germany, unless told otherwise."""
    return RouteRequest(channel, destination, purpose, occasion, segments, tried, prefer)
