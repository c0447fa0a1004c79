"""How well a route works: counters of the last hour become a quality between 0 and 1.

Few samples must not decide. Each share is the mean of its posterior under a Beta prior worth `PRIOR_SAMPLES` sends
(Gelman et al., Bayesian Data Analysis, section 2.4): a supplier that nobody has seen yet stands at the prior, a network
that it rarely serves at what it does elsewhere. A lower bound (Wilson) would leave every new supplier untried for ever.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sca_service.routing.breaker import BreakerState

BUCKET_SECONDS = 300
BUCKETS = 12
"""The window: an hour, in steps of five minutes."""
DECAY = 0.8
"""What counts in a step counts for so much in the next: half of it after a quarter of an hour."""

PRIOR_SAMPLES = 20.0
_PRIOR_DELIVERY, _PRIOR_CONVERSION, _PRIOR_PROMPTNESS = 0.9, 0.8, 0.6
_DELIVERY_WEIGHT, _CONVERSION_WEIGHT, _PROMPTNESS_WEIGHT = 0.5, 0.3, 0.2
_PROMPT_P50_MS, _PROMPT_P95_MS = 5_000, 30_000
"""Receipts half as prompt as these count half: a payer waits for seconds, not for minutes."""

LATENCY_BOUNDS_MS = (250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000, 60_000, 120_000, 300_000)
"""Upper ends of the buckets of a receipt's latency; a last bucket holds what took longer."""

OVERALL = ""
"""The name under which a supplier's networks count together."""


@dataclass(slots=True)
class Counters:
    """What was counted of one supplier and network, the recent for more than the old.

    `sent_before` are the sends of past steps, whose receipts should have come; `codes` those that carried a code.
    """

    sent: float = 0.0
    sent_before: float = 0.0
    codes: float = 0.0
    delivered: float = 0.0
    undelivered: float = 0.0
    approved: float = 0.0
    latencies: list[float] = field(default_factory=lambda: [0.0] * (len(LATENCY_BOUNDS_MS) + 1))

    def add(self, other: "Counters", weight: float = 1.0) -> None:
        """Count other counters in, each for `weight`."""
        self.sent += other.sent * weight
        self.sent_before += other.sent_before * weight
        self.codes += other.codes * weight
        self.delivered += other.delivered * weight
        self.undelivered += other.undelivered * weight
        self.approved += other.approved * weight
        self.latencies = [
            mine + more * weight for mine, more in zip(self.latencies, other.latencies, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Score:
    """How a supplier does on one network; rates are 0 to 1, latencies those of its receipts."""

    delivery_rate: float = _PRIOR_DELIVERY
    conversion_rate: float = _PRIOR_CONVERSION
    promptness: float = _PRIOR_PROMPTNESS
    p50_ms: int = 0
    p95_ms: int = 0
    samples: int = 0

    @property
    def quality(self) -> float:
        """One number between 0 and 1 for all of it."""
        return (
            _DELIVERY_WEIGHT * self.delivery_rate
            + _CONVERSION_WEIGHT * self.conversion_rate
            + _PROMPTNESS_WEIGHT * self.promptness
        )


UNKNOWN = Score()
"""A supplier nobody has seen yet."""


@dataclass(frozen=True, slots=True)
class Scorecard:
    """What is known when a route is chosen: the qualities by supplier and network, and the breakers by supplier."""

    qualities: Mapping[tuple[str, str], float] = field(default_factory=dict)
    breakers: Mapping[str, BreakerState] = field(default_factory=dict)

    def quality(self, supplier: str, network: str) -> float:
        """How well it works there, else how well it works elsewhere, else what is assumed."""
        found = self.qualities.get((supplier, network))
        if found is None:
            found = self.qualities.get((supplier, OVERALL), UNKNOWN.quality)
        return found

    def breaker(self, supplier: str) -> BreakerState:
        """Where its breaker stands; closed when nothing is known."""
        return self.breakers.get(supplier, BreakerState.CLOSED)


def scores_of(steps: Iterable[tuple[int, Mapping[str, Counters]]]) -> dict[str, Score]:
    """The scores of one supplier by network, and under `OVERALL` over all of them.

    `steps` are counters by network with their age in steps, 0 for the one under way.
    """
    by_network: dict[str, Counters] = {}
    for age, counted in steps:
        for network, counters in counted.items():
            total = by_network.setdefault(network, Counters())
            total.add(counters, DECAY**age)
            if age > 0:
                total.sent_before += counters.sent * DECAY**age
    together = Counters()
    for counters in by_network.values():
        together.add(counters)
    overall = score(together, UNKNOWN)
    scores = {network: score(counters, overall) for network, counters in by_network.items()}
    return scores | {OVERALL: overall}


def score(counters: Counters, prior: Score) -> Score:
    """The score of these counters; `prior` is what few of them are mixed with."""
    settled = counters.delivered + counters.undelivered
    due = max(settled, counters.sent_before)  # what is under way is not missing yet
    p50_ms, p95_ms = percentile(counters.latencies, 0.5), percentile(counters.latencies, 0.95)
    prompt = (_PROMPT_P50_MS / (_PROMPT_P50_MS + p50_ms) + _PROMPT_P95_MS / (_PROMPT_P95_MS + p95_ms)) / 2
    timed = sum(counters.latencies)
    return Score(
        delivery_rate=_mixed(counters.delivered, due, prior.delivery_rate),
        conversion_rate=_mixed(min(counters.approved, counters.codes), counters.codes, prior.conversion_rate),
        promptness=_mixed(prompt * timed, timed, prior.promptness),
        p50_ms=p50_ms,
        p95_ms=p95_ms,
        samples=int(counters.sent),
    )


def percentile(latencies: Iterable[float], share: float) -> int:
    """The latency within which this share of the receipts came, by the buckets' upper ends; 0 without receipts."""
    counts = list(latencies)
    wanted, seen = share * sum(counts), 0.0
    if wanted <= 0:
        return 0
    for bound, count in zip(LATENCY_BOUNDS_MS, counts, strict=False):
        seen += count
        if seen >= wanted:
            return bound
    return LATENCY_BOUNDS_MS[-1] * 2


def bucket_of(latency_ms: int) -> int:
    """The position of the bucket that a latency falls into."""
    return next(
        (at for at, bound in enumerate(LATENCY_BOUNDS_MS) if latency_ms <= bound), len(LATENCY_BOUNDS_MS)
    )


def _mixed(hits: float, samples: float, prior: float) -> float:
    """The mean of a Beta posterior: so many hits among the samples, with the prior counting as PRIOR_SAMPLES."""
    return (hits + PRIOR_SAMPLES * prior) / (samples + PRIOR_SAMPLES)
