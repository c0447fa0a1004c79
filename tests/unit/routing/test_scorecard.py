"""The scorecard: counters become a quality, and few of them decide nothing."""

import pytest

from sca_service.routing.scorecard import (
    LATENCY_BOUNDS_MS,
    OVERALL,
    UNKNOWN,
    Counters,
    Score,
    Scorecard,
    bucket_of,
    percentile,
    scores_of,
)

NETWORK = "262-01"


def counted(
    *, sent: int = 0, delivered: int = 0, undelivered: int = 0, approved: int = 0, latency_ms: int = 1_000
) -> Counters:
    """Counters of codes whose receipts all took equally long."""
    counters = Counters(
        sent=sent, codes=sent, delivered=delivered, undelivered=undelivered, approved=approved
    )
    counters.latencies[bucket_of(latency_ms)] = delivered
    return counters


def score_of(counters: Counters, *, age: int = 0) -> Score:
    """The score of a network of which nothing else is known."""
    return scores_of([(age, {NETWORK: counters})])[NETWORK]


def test_nothing_counted_is_the_prior() -> None:
    """Whoever nobody has seen yet is neither good nor bad."""
    assert scores_of([])[OVERALL].quality == pytest.approx(UNKNOWN.quality)
    assert Scorecard().quality("new", NETWORK) == UNKNOWN.quality


def test_many_samples_outweigh_the_prior() -> None:
    """A thousand receipts are what they are."""
    score = score_of(counted(sent=1_000, delivered=600, undelivered=400, approved=500))
    assert score.delivery_rate == pytest.approx(0.6, abs=0.02)
    assert score.conversion_rate == pytest.approx(0.5, abs=0.02)
    assert score.samples == 1_000


@pytest.mark.parametrize("worse", ["undelivered", "slow", "unapproved"])
def test_what_arrives_later_more_rarely_or_unread_is_worth_less(worse: str) -> None:
    """Each of the three counts by itself."""
    good = score_of(counted(sent=500, delivered=500, approved=450))
    bad = {
        "undelivered": counted(sent=500, delivered=400, undelivered=100, approved=450),
        "slow": counted(sent=500, delivered=500, approved=450, latency_ms=60_000),
        "unapproved": counted(sent=500, delivered=500, approved=200),
    }[worse]
    assert score_of(bad).quality < good.quality - 0.05


def test_what_is_under_way_is_not_missing() -> None:
    """A burst of this very step whose receipts are not there yet says nothing against the supplier."""
    assert score_of(counted(sent=500)).delivery_rate == pytest.approx(UNKNOWN.delivery_rate)


def test_receipts_that_never_came_are_missing() -> None:
    """Sends of a step that is over should have been settled."""
    assert score_of(counted(sent=500), age=1).delivery_rate < 0.1


def test_the_old_counts_for_less() -> None:
    """A supplier that was bad an hour ago and is good now is rather good."""
    bad, good = counted(sent=100, undelivered=100), counted(sent=100, delivered=100)
    recovered = scores_of([(11, {NETWORK: bad}), (0, {NETWORK: good})])[NETWORK]
    relapsed = scores_of([(0, {NETWORK: bad}), (11, {NETWORK: good})])[NETWORK]
    assert recovered.delivery_rate > 0.85
    assert relapsed.delivery_rate < 0.35


def test_a_rare_network_is_taken_for_what_the_supplier_does_elsewhere() -> None:
    """Three receipts on one network do not hide five hundred on another."""
    scores = scores_of(
        [
            (
                0,
                {
                    NETWORK: counted(sent=500, delivered=100, undelivered=400),
                    "262-02": counted(sent=3, delivered=3),
                },
            )
        ]
    )
    assert scores["262-02"].delivery_rate < 0.4
    card = Scorecard({("one", network): score.quality for network, score in scores.items()})
    assert card.quality("one", "262-99") == scores[OVERALL].quality


def test_percentiles_are_the_ends_of_their_buckets() -> None:
    """Half of the receipts came within a second, nineteen of twenty within eight."""
    counters = Counters()
    for latency_ms, count in ((900, 60), (7_000, 36), (400_000, 4)):
        counters.latencies[bucket_of(latency_ms)] += count
    score = score_of(counters)
    assert (score.p50_ms, score.p95_ms) == (1_000, 8_000)
    assert percentile([0.0] * (len(LATENCY_BOUNDS_MS) + 1), 0.5) == 0
    assert percentile(counters.latencies, 1.0) > LATENCY_BOUNDS_MS[-1]


@pytest.mark.parametrize(
    ("latency_ms", "bucket"), [(0, 0), (250, 0), (251, 1), (300_000, 10), (300_001, 11), (10**12, 11)]
)
def test_every_latency_has_its_bucket(latency_ms: int, bucket: int) -> None:
    """The last one takes what is longer than any bound."""
    assert bucket_of(latency_ms) == bucket
