"""Who could carry a message at all, as the policy says: channel, country, registered sender and price."""

from collections.abc import Iterator
from dataclasses import dataclass

from sca_service.policy.supply import PriceTier, SenderKind, SenderRule, SupplierRule, SupplyPolicy
from sca_service.policy.words import Channel, Occasion
from sca_service.routing.countries import COUNTRY_CODES
from sca_service.routing.model import RouteReason, RouteRequest

_ANYWHERE = "*"
_OWN_MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class Offer:
    """One supplier for one destination: the sender it would show and what one part costs by volume.

    `rate` is what a unit of its currency is worth in millionths of the bank's own.
    """

    supplier: str
    sender: SenderRule | None
    currency: str
    rate: int
    tiers: tuple[PriceTier, ...]

    def price_micros(self, volume: int) -> int:
        """Millionths of its currency for the next part, when so many were sent this month."""
        found = self.tiers[0]
        for tier in self.tiers:
            if tier.from_messages > volume:
                break
            found = tier
        return found.price_micros


@dataclass(frozen=True, slots=True)
class Offers:
    """The suppliers of a channel that may carry a message, and why others may not; both in the order of names."""

    offers: tuple[Offer, ...]
    passed_over: tuple[tuple[str, RouteReason], ...]

    def without(self, spent: tuple[str, ...]) -> "Offers":
        """The same but for suppliers whose money is spent."""
        if not spent:
            return self
        left = tuple(offer for offer in self.offers if offer.supplier not in spent)
        return Offers(left, (*self.passed_over, *((name, RouteReason.SPEND_LIMIT) for name in spent)))


def offers_for(request: RouteRequest, supply: SupplyPolicy) -> Offers:
    """What the policy says of every supplier of the request's channel. An unregistered sender is refused first."""
    country, network = request.destination.country, request.destination.network
    names = tuple(_price_names(country, network))
    offers, passed_over = [], []
    for supplier in sorted(supply.suppliers, key=lambda one: one.name):
        if supplier.channel is not request.channel:
            continue
        if not supplier.serves(country):
            passed_over.append((supplier.name, RouteReason.OTHER_COUNTRY))
            continue
        sender = _sender_for(supplier.name, request, supply.senders)
        if _needs_registration(request, sender, supply):
            passed_over.append((supplier.name, RouteReason.SENDER_UNREGISTERED))
            continue
        tiers = _tiers(supplier, names)
        if not tiers:
            passed_over.append((supplier.name, RouteReason.NO_PRICE))
            continue
        rate = supply.exchange.get(supplier.currency, _OWN_MICROS)
        offers.append(Offer(supplier.name, sender, supplier.currency, rate, tiers))
    return Offers(tuple(offers), tuple(passed_over))


def _price_names(country: str, network: str) -> Iterator[str]:
    """The names under which a price may stand, the closest first: network, its country code, the country's, any."""
    if network:
        yield network
        yield network[:3]
    yield from COUNTRY_CODES.get(country, ())
    yield _ANYWHERE


def _tiers(supplier: SupplierRule, names: tuple[str, ...]) -> tuple[PriceTier, ...]:
    prices = {price.network: price.tiers for price in supplier.prices}
    return next((prices[name] for name in names if prices.get(name)), ())


def _sender_for(supplier: str, request: RouteRequest, senders: tuple[SenderRule, ...]) -> SenderRule | None:
    """The sender that the handset would show: the country's own before any, the supplier's own before that of all."""
    country = request.destination.country
    fitting = [
        sender
        for sender in senders
        if sender.channel is request.channel
        and sender.country in (country, _ANYWHERE)
        and (not sender.suppliers or supplier in sender.suppliers)
        and _may_say(sender, request.occasion)
    ]
    return min(fitting, key=lambda sender: (sender.country == _ANYWHERE, not sender.suppliers), default=None)


def _may_say(sender: SenderRule, occasion: Occasion | None) -> bool:
    """Whether what is to be said is registered. India's operators drop what fits no template (TRAI TCCCPR 2018)."""
    return sender.kind is not SenderKind.DLT or bool(occasion and sender.template_for(occasion))


def _needs_registration(request: RouteRequest, sender: SenderRule | None, supply: SupplyPolicy) -> bool:
    if request.channel is not Channel.SMS or request.destination.country not in supply.must_register:
        return False
    return sender is None or sender.country == _ANYWHERE
