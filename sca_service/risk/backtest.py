"""How good a risk policy is, on requests of which is known what became of them. Pure: rows in, figures out.

Scores are whole numbers and few, so requests are counted by score, and every figure comes from these counts. Where
several requests share a score and only some of them can be challenged, each is as likely to be among them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sca_service.policy.risk import Decision, RiskPolicy
from sca_service.policy.verdicts import Verdict
from sca_service.risk.labelled import Labelled
from sca_service.risk.score import assess

CHALLENGE_RATES: Final = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
RATE_OF_SIGNALS: Final = 0.05
"""The challenge rate at which it is told what each signal adds."""


@dataclass(slots=True)
class Tally:
    """Requests by score: how many were honest, how many fraud."""

    honest: dict[int, int] = field(default_factory=dict)
    fraud: dict[int, int] = field(default_factory=dict)

    def count(self, score: int, *, is_fraud: bool, by: int = 1) -> None:
        """Count requests of one score; below zero takes some away again."""
        side = self.fraud if is_fraud else self.honest
        side[score] = side.get(score, 0) + by

    def steps(self) -> list[tuple[int, int, int]]:
        """Score, honest and fraud, from the highest score down."""
        scores = sorted(self.honest.keys() | self.fraud.keys(), reverse=True)
        return [(score, self.honest.get(score, 0), self.fraud.get(score, 0)) for score in scores]


@dataclass(frozen=True, slots=True)
class Curve:
    """Points from the highest score down: ROC (false alarms, caught), precision-recall (caught, precision).

    `area` is that under the ROC curve: how often a fraud scores higher than an honest request (a tie counts half).
    `average_precision` is the precision at each step, weighed by what the step catches.
    """

    roc: tuple[tuple[float, float], ...]
    precision_recall: tuple[tuple[float, float], ...]
    area: float
    average_precision: float


@dataclass(frozen=True, slots=True)
class Caught:
    """With so large a share of all requests challenged: which share of the fraud is among them, and how precisely."""

    rate: float
    caught: float
    precision: float


@dataclass(frozen=True, slots=True)
class SignalFigures:
    """One signal: on how many it speaks, and the area and the fraud caught (at RATE_OF_SIGNALS) without it."""

    name: str
    on_fraud: int
    on_honest: int
    area_without: float
    caught_without: float


@dataclass(frozen=True, slots=True)
class Backtest:
    """All figures. `decisions` has honest and fraud by decision; `signals` has what adds most first."""

    honest: int
    fraud: int
    curve: Curve
    caught: tuple[Caught, ...]
    decisions: Mapping[Decision, tuple[int, int]]
    signals: tuple[SignalFigures, ...]


@dataclass(frozen=True, slots=True)
class _Row:
    sum: int
    is_fraud: bool
    parts: Mapping[str, int]


def backtest(requests: Iterable[Labelled], policy: RiskPolicy) -> Backtest:
    """Weigh every request. Raises ValueError unless there is at least one of each kind."""
    rows: list[_Row] = []
    tally, decisions = Tally(), {decision: [0, 0] for decision in Decision}
    speaks = {signal.name: [0, 0] for signal in policy.signals}
    for request in requests:
        row, decision = _weighed(request, policy, speaks)
        rows.append(row)
        tally.count(max(row.sum, 0), is_fraud=row.is_fraud)
        decisions[decision][row.is_fraud] += 1
    curve = curve_of(tally)
    signals = [_without(rows, tally, name, counts) for name, counts in speaks.items()]
    signals.sort(key=lambda one: (one.area_without, one.caught_without))
    return Backtest(
        honest=sum(tally.honest.values()),
        fraud=sum(tally.fraud.values()),
        curve=curve,
        caught=tuple(caught_at(tally, rate) for rate in CHALLENGE_RATES),
        decisions={decision: (honest, fraud) for decision, (honest, fraud) in decisions.items()},
        signals=tuple(signals),
    )


def curve_of(tally: Tally) -> Curve:
    """Both curves. Raises ValueError unless there is at least one of each kind."""
    honest, fraud = sum(tally.honest.values()), sum(tally.fraud.values())
    if not honest or not fraud:
        raise ValueError("needs honest requests and fraud")
    alarms = caught = 0
    area = average_precision = 0.0
    roc, precision_recall = [(0.0, 0.0)], []
    for _, more_honest, more_fraud in tally.steps():
        area += more_honest * (caught + more_fraud / 2) / (honest * fraud)
        alarms, caught = alarms + more_honest, caught + more_fraud
        if not alarms + caught:
            continue
        precision = caught / (alarms + caught)
        average_precision += more_fraud / fraud * precision
        roc.append((alarms / honest, caught / fraud))
        precision_recall.append((caught / fraud, precision))
    return Curve(tuple(roc), tuple(precision_recall), area, average_precision)


def caught_at(tally: Tally, rate: float) -> Caught:
    """What is caught when this share of all requests is challenged, the highest scores first."""
    fraud = sum(tally.fraud.values())
    budget = rate * (sum(tally.honest.values()) + fraud)
    left, caught = budget, 0.0
    for _, more_honest, more_fraud in tally.steps():
        together = more_honest + more_fraud
        if together >= left:
            caught += more_fraud * left / together if together else 0.0
            break
        left -= together
        caught += more_fraud
    return Caught(rate, caught / fraud, caught / budget if budget else 0.0)


def _weighed(request: Labelled, policy: RiskPolicy, speaks: Mapping[str, list[int]]) -> tuple[_Row, Decision]:
    """One request's parts of the score, counted in `speaks`, and its decision."""
    assessment = assess(request.facts, policy)
    for reason in assessment.reasons:
        if reason.verdict is not Verdict.NOT_SUPPLIED:
            speaks[reason.name][request.is_fraud] += 1
    parts = {reason.name: reason.weight for reason in assessment.reasons if reason.weight}
    return _Row(sum(parts.values()), request.is_fraud, parts), assessment.decision


def _without(rows: Iterable[_Row], tally: Tally, name: str, speaks: Sequence[int]) -> SignalFigures:
    """The figures as they would be without one signal: only those on which it counted have another score."""
    other = Tally(dict(tally.honest), dict(tally.fraud))
    for row in rows:
        if part := row.parts.get(name):
            other.count(max(row.sum, 0), is_fraud=row.is_fraud, by=-1)
            other.count(max(row.sum - part, 0), is_fraud=row.is_fraud)
    return SignalFigures(
        name=name,
        on_fraud=speaks[1],
        on_honest=speaks[0],
        area_without=curve_of(other).area,
        caught_without=caught_at(other, RATE_OF_SIGNALS).caught,
    )
