"""What the overview counts: events of the last thirty days as series by day, and as sums. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sca_service.console.postgres_store import Count

DAYS = 30

_OUTCOMES: Mapping[tuple[str, str], str] = {
    ("challenge.answered", "approved"): "approved",
    ("challenge.answered", "transaction_mismatch"): "rejected",
    ("challenge.declined", ""): "declined",
    ("challenge.expired", ""): "expired",
    ("challenge.cancelled", ""): "cancelled",
    ("challenge.undeliverable", ""): "undeliverable",
    ("challenge.refused", ""): "refused",
    ("payer.blocked", ""): "blocked",
}
"""The events by which a challenge ends, and how."""

OUTCOMES = tuple(dict.fromkeys(_OUTCOMES.values()))
"""Every end of a challenge, in the order of the charts."""


@dataclass(frozen=True, slots=True)
class Series:
    """One name's numbers, a number for each day."""

    name: str
    numbers: tuple[int, ...]

    @property
    def total(self) -> int:
        """The sum over all days."""
        return sum(self.numbers)


@dataclass(frozen=True, slots=True)
class Channel:
    """How many deliveries one channel was asked to make, and how many suppliers reported as made."""

    name: str
    attempted: int
    delivered: int


@dataclass(frozen=True, slots=True)
class Figures:
    """All that the overview shows of the events of thirty days."""

    days: tuple[date, ...]
    outcomes: tuple[Series, ...]
    with_sca: int
    without_sca: int
    channels: tuple[Channel, ...]
    exemptions: tuple[tuple[str, int], ...]
    fraud_events: int


def figures_of(days: Sequence[date], counts: Sequence[Count]) -> Figures:
    """The figures that these counts come to."""
    by_outcome: Counter[tuple[str, date]] = Counter()
    words: dict[str, Counter[str]] = {}
    for count in counts:
        outcome = _OUTCOMES.get((count.kind, count.word))
        if outcome:
            by_outcome[outcome, count.day] += count.number
        words.setdefault(count.kind, Counter())[count.word] += count.number
    issued = words.get("challenge.issued", Counter())
    return Figures(
        days=tuple(days),
        outcomes=tuple(Series(name, tuple(by_outcome[name, day] for day in days)) for name in OUTCOMES),
        with_sca=issued["true"],
        without_sca=issued["false"],
        channels=_channels(words),
        exemptions=_exemptions(words),
        fraud_events=sum(sum(found.values()) for kind, found in words.items() if kind.startswith("fraud.")),
    )


def _channels(words: Mapping[str, Counter[str]]) -> tuple[Channel, ...]:
    attempted = words.get("delivery.attempted", Counter())
    settled = words.get("delivery.settled", Counter())
    made = [
        Channel(name, number, min(number, settled[f"{name} delivered"] + settled[f"{name} answered"]))
        for name, number in attempted.items()
    ]
    return tuple(sorted(made, key=lambda one: (-one.attempted, one.name)))


def _exemptions(words: Mapping[str, Counter[str]]) -> tuple[tuple[str, int], ...]:
    by_article: Counter[str] = Counter()
    for kind, found in words.items():
        if kind.startswith("exemption."):
            for article, number in found.items():
                by_article[article or "no article named"] += number
    return tuple(sorted(by_article.items()))
