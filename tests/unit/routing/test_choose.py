"""The choice of a route: who may carry a message at all, and who of them does."""

import pytest

from sca_service.kernel.money import Price
from sca_service.policy.supply import NetworkPrice, PriceTier, SenderKind, SenderRule
from sca_service.policy.words import Channel, Occasion, Purpose
from sca_service.routing.breaker import BreakerState
from sca_service.routing.choose import choose_route
from sca_service.routing.model import Destination, RouteReason
from sca_service.routing.scorecard import OVERALL, Scorecard
from tests.supplies import BANK, request, supplier, supply

NOTHING_KNOWN = Scorecard()
INDIA = Destination("IN", "404")
HEADER = SenderRule(
    "IN",
    Channel.SMS,
    "SNDBOX",
    SenderKind.DLT,
    suppliers=("one",),
    entity="1101",
    templates={Occasion.PAYMENT: "1107"},
)


def qualities(**known: float) -> Scorecard:
    """What is known of suppliers, whatever the network."""
    return Scorecard({(name, OVERALL): quality for name, quality in known.items()})


def breakers(**known: BreakerState) -> Scorecard:
    """Where breakers stand."""
    return Scorecard(breakers=known)


def test_the_only_supplier_of_a_channel_is_the_route() -> None:
    """With its sender, its price for all parts, and the reason."""
    rules = supply([supplier("one"), supplier("two", channel=Channel.VOICE)])
    choice = choose_route(request(segments=3), rules, NOTHING_KNOWN, volumes={})
    assert choice.passed_over == ()
    assert choice.route is not None
    assert (choice.route.supplier, choice.route.channel, choice.route.network) == ("one", "sms", "262-01")
    assert (choice.route.sender, choice.route.price) == (BANK, Price("EUR", 210_000))
    assert (choice.route.reasons, choice.route.segments) == ((RouteReason.ONLY_ROUTE,), 3)
    assert choice.route.with_code


def test_an_alert_takes_the_cheapest_and_a_payment_the_one_that_arrives() -> None:
    """The policy weighs price against quality per purpose."""
    rules = supply([supplier("cheap", 30_000), supplier("good", 70_000)], price_weight=10)
    known = qualities(cheap=0.5, good=0.95)
    payment = choose_route(request(), rules, known, volumes={})
    alert = choose_route(request(purpose=None, occasion=None), rules, known, volumes={})
    assert payment.route is not None
    assert alert.route is not None
    assert (payment.route.supplier, payment.route.reasons) == ("good", (RouteReason.BEST_QUALITY,))
    assert payment.passed_over == (("cheap", RouteReason.OUTWEIGHED),)
    assert (alert.route.supplier, alert.route.reasons) == ("cheap", (RouteReason.CHEAPEST,))
    assert not alert.route.with_code


def test_one_that_is_neither_cheapest_nor_best_may_be_both_enough() -> None:
    """Weighing means that the middle can win."""
    rules = supply([supplier("a", 50_000), supplier("b", 55_000), supplier("c", 110_000)])
    choice = choose_route(request(), rules, qualities(a=0.5, b=0.9, c=0.95), volumes={})
    assert choice.route is not None
    assert (choice.route.supplier, choice.route.reasons) == ("b", (RouteReason.BEST_WEIGHED,))


def test_equals_are_told_apart_by_name() -> None:
    """The same question has the same answer on every worker."""
    rules = supply([supplier("zeta"), supplier("alpha"), supplier("mid")])
    choice = choose_route(request(), rules, NOTHING_KNOWN, volumes={})
    assert choice.route is not None
    assert choice.route.supplier == "alpha"
    assert choice.route.reasons == (RouteReason.CHEAPEST, RouteReason.BEST_QUALITY)


@pytest.mark.parametrize(
    ("network", "micros"),
    [("262-01", 10), ("262-02", 20), ("262", 20), ("", 20), ("263-01", 20)],
)
def test_the_closest_price_counts(network: str, micros: int) -> None:
    """The network's own, else its country's by either code, else any."""
    prices = tuple(
        NetworkPrice(name, (PriceTier(0, price),)) for name, price in [("*", 30), ("262", 20), ("262-01", 10)]
    )
    rules = supply([supplier("one", prices=prices)])
    choice = choose_route(request(Destination("DE", network)), rules, NOTHING_KNOWN, volumes={})
    assert choice.route is not None
    assert choice.route.price == Price("EUR", micros)


def test_any_code_of_a_country_finds_its_price() -> None:
    """The USA have seven country codes; a price list names one of them."""
    prices = (NetworkPrice("310", (PriceTier(0, 8_000),)),)
    rules = supply([supplier("one", prices=prices)])
    choice = choose_route(request(Destination("US", "311-480")), rules, NOTHING_KNOWN, volumes={})
    assert choice.route is not None
    assert choice.route.price == Price("EUR", 8_000)


def test_a_destination_without_a_price_is_not_served() -> None:
    """What costs nobody knows how much is not sent."""
    prices = (NetworkPrice("222", (PriceTier(0, 10),)),)
    rules = supply([supplier("one", prices=prices), supplier("two", countries=("FR", "IT"))])
    choice = choose_route(request(), rules, NOTHING_KNOWN, volumes={})
    assert choice.route is None
    assert choice.passed_over == (("one", RouteReason.NO_PRICE), ("two", RouteReason.OTHER_COUNTRY))


@pytest.mark.parametrize(
    ("volume", "micros", "chosen"),
    [(0, 70_000, "a"), (999, 70_000, "a"), (1_000, 60_000, "b"), (50_000, 40_000, "b")],
)
def test_the_more_a_month_has_sent_the_cheaper(volume: int, micros: int, chosen: str) -> None:
    """The tier is that of the next part; the route follows the price."""
    tiers = (PriceTier(0, 70_000), PriceTier(1_000, 60_000), PriceTier(50_000, 40_000))
    rules = supply(
        [
            supplier("a", 65_000 if chosen == "b" else 70_000),
            supplier("b", prices=(NetworkPrice("*", tiers),)),
        ],
        price_weight=100,
    )
    choice = choose_route(request(), rules, NOTHING_KNOWN, volumes={"b": volume})
    assert choice.route is not None
    assert (choice.route.supplier, choice.route.price) == (chosen, Price("EUR", micros))


def test_prices_of_different_currencies_are_compared() -> None:
    """0.08 dollars are less than 0.075 euros at this rate; the record keeps the supplier's own currency."""
    rules = supply(
        [supplier("euro", 75_000), supplier("dollar", 80_000, currency="USD")],
        price_weight=100,
        exchange={"EUR": 1_000_000, "USD": 920_000},
    )
    choice = choose_route(request(), rules, NOTHING_KNOWN, volumes={})
    assert choice.route is not None
    assert (choice.route.supplier, choice.route.price) == ("dollar", Price("USD", 80_000))


def test_an_unregistered_sender_is_refused_before_it_costs_anything() -> None:
    """The country's own header is registered with one of the two; the sender for anywhere does not do there."""
    rules = supply([supplier("one"), supplier("two", 1)], senders=(BANK, HEADER), must_register=["IN"])
    choice = choose_route(request(INDIA), rules, NOTHING_KNOWN, volumes={})
    assert choice.route is not None
    assert (choice.route.supplier, choice.route.sender) == ("one", HEADER)
    assert choice.passed_over == (("two", RouteReason.SENDER_UNREGISTERED),)


@pytest.mark.parametrize("occasion", [Occasion.LOGIN, None])
def test_what_no_template_covers_is_not_sent_to_india(occasion: Occasion | None) -> None:
    """Operators there drop a text that fits no registered template."""
    rules = supply([supplier("one")], senders=(BANK, HEADER), must_register=["IN"])
    purpose = Purpose.LOGIN if occasion else None
    choice = choose_route(
        request(INDIA, purpose=purpose, occasion=occasion), rules, NOTHING_KNOWN, volumes={}
    )
    assert choice.route is None
    assert choice.passed_over == (("one", RouteReason.SENDER_UNREGISTERED),)


def test_registration_is_a_matter_of_texts() -> None:
    """A call shows a number or none; nobody has to register it here."""
    rules = supply([supplier("one", channel=Channel.VOICE)], senders=(BANK,), must_register=["IN"])
    choice = choose_route(request(INDIA, channel=Channel.VOICE), rules, NOTHING_KNOWN, volumes={})
    assert choice.route is not None
    assert choice.route.sender is None


def test_the_closest_sender_is_shown() -> None:
    """The country's before any, the supplier's own before that of all, the first of equals."""
    own = SenderRule("DE", Channel.SMS, "+491510000000", SenderKind.LONG_NUMBER, suppliers=("one",))
    country = SenderRule("DE", Channel.SMS, "BANKDE", SenderKind.ALPHANUMERIC)
    again = SenderRule("DE", Channel.SMS, "SECOND", SenderKind.ALPHANUMERIC)
    rules = supply([supplier("one", 1), supplier("two", 2)], senders=(BANK, country, again, own))
    first = choose_route(request(), rules, NOTHING_KNOWN, volumes={})
    second = choose_route(request(tried=("one",)), rules, NOTHING_KNOWN, volumes={})
    assert first.route is not None
    assert second.route is not None
    assert (first.route.sender, second.route.sender) == (own, country)


@pytest.mark.parametrize("state", [BreakerState.OPEN, BreakerState.HALF_OPEN])
def test_a_supplier_that_is_left_alone_is_passed_over(state: BreakerState) -> None:
    """Half open means that somebody else tries it: exactly one message does."""
    rules = supply([supplier("one", 1), supplier("two")])
    choice = choose_route(request(), rules, breakers(one=state), volumes={})
    assert choice.route is not None
    assert (choice.route.supplier, choice.route.reasons) == ("two", (RouteReason.ONLY_ROUTE,))
    assert choice.passed_over == (("one", RouteReason.BREAKER_OPEN),)


def test_whoever_won_the_probe_sends_it() -> None:
    """Dearer or not: otherwise nobody would ever find out that the supplier is back."""
    rules = supply([supplier("one", 900_000), supplier("two", 1)])
    choice = choose_route(request(), rules, breakers(one=BreakerState.PROBING), volumes={})
    assert choice.route is not None
    assert (choice.route.supplier, choice.route.reasons) == ("one", (RouteReason.PROBE,))


def test_when_all_are_left_alone_there_is_no_route() -> None:
    """The ladder goes on to its next channel at once."""
    rules = supply([supplier("one"), supplier("two")])
    known = breakers(one=BreakerState.OPEN, two=BreakerState.OPEN)
    choice = choose_route(request(), rules, known, volumes={})
    assert choice.route is None
    assert {reason for _, reason in choice.passed_over} == {RouteReason.BREAKER_OPEN}


def test_who_failed_this_message_comes_last() -> None:
    """And is asked again only when nobody else is left."""
    rules = supply([supplier("one", 1), supplier("two", 2)])
    once = choose_route(request(tried=("one",)), rules, NOTHING_KNOWN, volumes={})
    twice = choose_route(request(tried=("one", "two")), rules, NOTHING_KNOWN, volumes={})
    assert once.route is not None
    assert twice.route is not None
    assert once.route.supplier == "two"
    assert once.passed_over == (("one", RouteReason.TRIED_BEFORE),)
    assert twice.route.supplier == "one"
    assert RouteReason.TRIED_BEFORE in twice.route.reasons


def test_who_may_have_the_message_already_gets_it_again() -> None:
    """It knows the reference, so that the payer reads the message once."""
    rules = supply([supplier("one", 1), supplier("two", 900_000)])
    choice = choose_route(request(prefer="two"), rules, NOTHING_KNOWN, volumes={})
    assert choice.route is not None
    assert (choice.route.supplier, choice.route.reasons) == ("two", (RouteReason.REPEATED,))
    down = choose_route(request(prefer="two"), rules, breakers(two=BreakerState.OPEN), volumes={})
    assert down.route is not None
    assert down.route.supplier == "one"


def test_a_channel_nobody_carries_has_no_route() -> None:
    """Nothing is passed over either."""
    choice = choose_route(request(channel=Channel.RCS), supply([supplier("one")]), NOTHING_KNOWN, volumes={})
    assert (choice.route, choice.passed_over) == (None, ())
