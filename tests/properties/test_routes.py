"""Routes, whatever the suppliers: the choice is sound, total, and never punishes one for getting better."""

from dataclasses import replace

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sca_service.policy.supply import (
    NetworkPrice,
    PriceTier,
    SenderKind,
    SenderRule,
    SupplierRule,
    SupplyPolicy,
)
from sca_service.policy.words import Channel, Occasion, Purpose
from sca_service.routing.breaker import BreakerState
from sca_service.routing.choose import choose_route
from sca_service.routing.model import Destination, RouteReason, RouteRequest
from sca_service.routing.scorecard import OVERALL, Counters, Scorecard, scores_of
from tests.supplies import request, supplier, supply

NAMES = ("ada", "bob", "cleo", "dora", "emil")
MICROS = st.integers(0, 200_000)
SHARES = st.floats(0, 1)
NETWORKS = st.sampled_from(["*", "262", "262-01", "404", "310"])
TIERS = st.lists(st.tuples(st.integers(1, 5_000), MICROS), max_size=3, unique_by=lambda tier: tier[0])
PLACES = st.builds(
    Destination,
    st.sampled_from(["DE", "IN", "US", "XK", ""]),
    st.sampled_from(["", "262-01", "404", "311-480"]),
)
CHANNELS = st.sampled_from([Channel.SMS, Channel.VOICE])


@st.composite
def suppliers(draw: st.DrawFn) -> SupplierRule:
    """Any supplier without a name."""
    prices = []
    for network in draw(st.lists(NETWORKS, unique=True, max_size=3)):
        later = [PriceTier(start, micros) for start, micros in sorted(draw(TIERS))]
        prices.append(NetworkPrice(network, (PriceTier(0, draw(MICROS)), *later)))
    countries = draw(st.sampled_from([(), ("DE",), ("DE", "IN")]))
    return supplier("", channel=draw(CHANNELS), countries=countries, prices=tuple(prices))


@st.composite
def supplies(draw: st.DrawFn) -> SupplyPolicy:
    """Any few suppliers, and senders that some of them may show."""
    found = draw(st.lists(suppliers(), max_size=len(NAMES)))
    named = [replace(one, name=name) for one, name in zip(found, NAMES, strict=False)]
    senders = tuple(
        SenderRule(country, Channel.SMS, "BANK", SenderKind.ALPHANUMERIC, suppliers=tuple(who))
        for country, who in draw(
            st.lists(st.tuples(st.sampled_from(["*", "IN"]), st.sets(st.sampled_from(NAMES))), max_size=3)
        )
    )
    weight = draw(st.integers(0, 100))
    return supply(named, senders=senders, must_register=["IN", "US"], price_weight=weight)


SCORES = st.builds(
    Scorecard,
    st.dictionaries(st.tuples(st.sampled_from(NAMES), st.sampled_from(["", "262-01"])), SHARES),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from(BreakerState)),
)
REQUESTS = st.builds(
    RouteRequest,
    CHANNELS,
    PLACES,
    st.sampled_from([*Purpose, None]),
    st.sampled_from([*Occasion, None]),
    st.integers(1, 6),
    st.lists(st.sampled_from(NAMES), unique=True, max_size=3).map(tuple),
    st.sampled_from(["", *NAMES]),
)
VOLUMES = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 10_000))


@given(supplies(), REQUESTS, SCORES, VOLUMES)
def test_every_supplier_of_the_channel_is_chosen_or_told_why_not(
    rules: SupplyPolicy, wanted: RouteRequest, scores: Scorecard, volumes: dict[str, int]
) -> None:
    """There is always an answer; what is passed over is never the route, and nobody is forgotten."""
    choice = choose_route(wanted, rules, scores, volumes=volumes)
    passed = [name for name, _ in choice.passed_over]
    chosen = [choice.route.supplier] if choice.route else []
    of_channel = [one.name for one in rules.suppliers if one.channel is wanted.channel]
    assert sorted(passed + chosen) == sorted(of_channel)
    assert choice.route is None or choice.route.reasons


@settings(suppress_health_check=[HealthCheck.filter_too_much])  # of most requests no supplier may carry any
@given(supplies(), REQUESTS, SCORES, VOLUMES)
def test_the_route_is_one_that_may_be_taken(
    rules: SupplyPolicy, wanted: RouteRequest, scores: Scorecard, volumes: dict[str, int]
) -> None:
    """It serves the country, is not left alone, has a price, and shows a registered sender where one is needed."""
    route = choose_route(wanted, rules, scores, volumes=volumes).route
    assume(route is not None)
    assert route is not None
    (rule,) = (one for one in rules.suppliers if one.name == route.supplier)
    assert rule.serves(wanted.destination.country)
    assert scores.breaker(rule.name) in (BreakerState.CLOSED, BreakerState.PROBING)
    every = {tier.price_micros for price in rule.prices for tier in price.tiers}
    assert route.price is not None
    assert route.price.micros in {micros * wanted.segments for micros in every}
    if wanted.channel is Channel.SMS and wanted.destination.country in rules.must_register:
        assert route.sender is not None
        assert route.sender.country == wanted.destination.country
    if route.sender and route.sender.suppliers:
        assert route.supplier in route.sender.suppliers


@given(supplies(), REQUESTS, SCORES, VOLUMES, st.randoms(use_true_random=False))
def test_the_order_of_the_suppliers_makes_no_difference(
    rules: SupplyPolicy, wanted: RouteRequest, scores: Scorecard, volumes: dict[str, int], chance: object
) -> None:
    """Two workers with the same policy choose alike."""
    shuffled = list(rules.suppliers)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    again = replace(rules, suppliers=tuple(shuffled))
    assert choose_route(wanted, rules, scores, volumes=volumes) == choose_route(
        wanted, again, scores, volumes=volumes
    )


@given(supplies(), REQUESTS, SCORES, VOLUMES)
def test_who_failed_the_message_is_taken_only_when_nobody_else_is_left(
    rules: SupplyPolicy, wanted: RouteRequest, scores: Scorecard, volumes: dict[str, int]
) -> None:
    """The reason says so, and everybody else was not to be had."""
    choice = choose_route(wanted, rules, scores, volumes=volumes)
    if choice.route and choice.route.supplier in wanted.tried:
        assert RouteReason.TRIED_BEFORE in choice.route.reasons
        assert RouteReason.OUTWEIGHED not in {reason for _, reason in choice.passed_over}


@given(st.lists(MICROS, min_size=1, max_size=5), st.lists(SHARES, min_size=5, max_size=5))
def test_by_price_alone_nothing_cheaper_is_ever_left(prices: list[int], shares: list[float]) -> None:
    """Whatever is known of the suppliers, an alert costs the least it can."""
    rules = supply([supplier(name, micros) for name, micros in zip(NAMES, prices, strict=False)])
    known = Scorecard({(name, OVERALL): share for name, share in zip(NAMES, shares, strict=True)})
    route = choose_route(request(purpose=None, occasion=None), rules, known, volumes={}).route
    assert route is not None
    assert route.price is not None
    assert route.price.micros == min(prices)


@given(st.lists(SHARES, min_size=1, max_size=5), st.lists(MICROS, min_size=5, max_size=5))
def test_by_quality_alone_nothing_better_is_ever_left(shares: list[float], prices: list[int]) -> None:
    """With a weight of 0 no price matters."""
    rules = supply(
        [supplier(name, micros) for name, micros, _ in zip(NAMES, prices, shares, strict=False)],
        price_weight=0,
    )
    known = Scorecard({(name, OVERALL): share for name, share in zip(NAMES, shares, strict=False)})
    route = choose_route(request(), rules, known, volumes={}).route
    assert route is not None
    assert known.quality(route.supplier, "") == max(shares)


@given(
    st.lists(MICROS, min_size=2, max_size=5),
    st.lists(SHARES, min_size=5, max_size=5),
    st.integers(0, 100),
    SHARES,
)
def test_the_route_stays_the_route_when_it_gets_cheaper_or_better(
    prices: list[int], shares: list[float], weight: int, better: float
) -> None:
    """Nobody is worse off for asking less, or for delivering more."""
    rules = supply(
        [supplier(name, micros) for name, micros in zip(NAMES, prices, strict=False)], price_weight=weight
    )
    known = Scorecard({(name, OVERALL): share for name, share in zip(NAMES, shares, strict=True)})
    first = choose_route(request(), rules, known, volumes={}).route
    assert first is not None
    cheaper = tuple(
        supplier(one.name, one.prices[0].tiers[0].price_micros // 2) if one.name == first.supplier else one
        for one in rules.suppliers
    )
    second = choose_route(request(), replace(rules, suppliers=cheaper), known, volumes={}).route
    assert second is not None
    assert second.supplier == first.supplier
    raised = {**known.qualities, (first.supplier, OVERALL): max(better, known.quality(first.supplier, ""))}
    third = choose_route(request(), rules, Scorecard(raised), volumes={}).route
    assert third is not None
    assert third.supplier == first.supplier


COUNTS = st.integers(0, 10_000)


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_every_score_is_a_share_whatever_was_counted(sent: int, gone: int, lost: int, approved: int) -> None:
    """Receipts without sends, approvals without codes: nothing leaves 0 to 1."""
    counters = Counters(sent=sent, codes=sent, delivered=gone, undelivered=lost, approved=approved)
    counters.latencies[3] = gone
    for score in scores_of([(0, {"262-01": counters}), (1, {"262-01": counters})]).values():
        for share in (score.delivery_rate, score.conversion_rate, score.promptness, score.quality):
            assert 0 <= share <= 1


@given(st.integers(0, 5))
def test_a_few_failures_decide_nothing(lost: int) -> None:
    """A supplier with a handful of bad receipts stands above one with hundreds."""
    few = scores_of([(0, {"262-01": Counters(sent=lost, undelivered=lost)})])
    many = scores_of([(0, {"262-01": Counters(sent=500, delivered=250, undelivered=250)})])
    assert few["262-01"].quality > many["262-01"].quality
