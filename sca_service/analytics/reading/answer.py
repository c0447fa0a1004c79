"""Answers questions on figures: sums, shares, percentiles and money, group by group."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sca_service.analytics.model import (
    COST,
    COUNTS,
    DURATIONS,
    Dimension,
    Figure,
    Key,
    Span,
    Subject,
)
from sca_service.analytics.reading.asking import (
    ListQuestion,
    Question,
    filters_of,
    fits,
    period_of,
    route_text,
)
from sca_service.analytics.reading.postgres_store import MOST_NUMBERS, FigureStore, Listed, Sum
from sca_service.analytics.sketch import percentile_ms
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.money import Price
from sca_service.policy.analytics import AnalyticsPolicy

SHARES = (0.5, 0.9, 0.95, 0.99)
"""The percentiles that are told."""


@dataclass(frozen=True, slots=True)
class Line:
    """One group's figures, in one piece of time where `at_ms` says which.

    `group` holds the group's value of each dimension, `counts` a number for each figure of the subject, `durations` the
    counts of each sketch by bin, `cost` what was spent, in the currencies' alphabetical order.
    """

    group: Mapping[str, str]
    at_ms: int | None
    counts: Mapping[Figure, int]
    durations: Mapping[Figure, Mapping[int, int]] = field(default_factory=dict)
    cost: tuple[Price, ...] = ()

    def share(self, part: Figure, whole: Figure) -> float | None:
        """The share of one figure in another, with four digits; None where there is no whole."""
        return round(self.counts[part] / self.counts[whole], 4) if self.counts.get(whole) else None

    def percentiles_ms(self, figure: Figure) -> dict[str, int] | None:
        """`p50` to `p99` of a duration in ms; None when there was none."""
        counts = self.durations.get(figure, {})
        told = {f"p{round(share * 100)}": percentile_ms(counts, share) for share in SHARES}
        return {name: value for name, value in told.items() if value is not None} or None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question came to: `question` says over which time, `counted_at_ms` up to when events are counted."""

    question: Question
    lines: tuple[Line, ...]
    counted_at_ms: int


class Analytics:
    """Reads figures and the list behind them. A class because it holds the store and the policy."""

    def __init__(self, store: FigureStore, policy: AnalyticsPolicy) -> None:
        self._store = store
        self._policy = policy

    async def counted_at(self) -> int:
        """Up to when events are counted, in ms since the epoch. Raises StoreUnavailable."""
        return await self._store.counted_at()

    async def answer(
        self,
        subject: Subject,
        *,
        since_ms: int,
        until_ms: int,
        client: str | None,
        group_by: tuple[Dimension, ...] = (),
        filters: Mapping[str, str] | None = None,
        interval: Span | None = None,
    ) -> Answer:
        """The figures of a subject, of one client or (None) of all. Raises InvalidInput, StoreUnavailable."""
        counted_at = await self._store.counted_at()
        since, until, span = period_of(
            since_ms, until_ms, wanted=interval, counted_at=counted_at, policy=self._policy
        )
        question = Question(
            subject=subject,
            since_ms=since,
            until_ms=until,
            span=span,
            client=client,
            group_by=group_by,
            only=filters_of(subject, filters or {}),
            asked=filters or {},
            series=interval is not None,
        )
        keys = await self._store.keys(subject)
        groups = _groups(keys, question)
        names = sorted(set(groups.values()))
        numbers = {name: number for number, name in enumerate(names)}
        sums = await self._store.sums({key: numbers[name] for key, name in groups.items()}, question)
        if len(sums) > MOST_NUMBERS:
            raise InvalidInput.at("/group_by", "makes more groups than one answer holds: ask for less")
        return Answer(question, _lines(question, names, sums), counted_at)

    async def deliveries(self, question: ListQuestion, *, most: int) -> list[Listed]:
        """The tries behind figures, the newest first. Raises StoreUnavailable."""
        keys = await self._store.keys(Subject.DELIVERIES)
        wanted = {number: key for number, key in keys.items() if fits(key, question)}
        return await self._store.deliveries(wanted, question, most=most) if wanted else []


def _groups(keys: Mapping[int, Key], question: Question) -> dict[int, tuple[str, ...]]:
    """The group of each key that is asked for: its value of each dimension."""
    return {
        number: tuple(_value(key, dimension) for dimension in question.group_by)
        for number, key in keys.items()
        if fits(key, question)
    }


def _value(key: Key, dimension: Dimension) -> str:
    members: dict[str, str] = key._asdict()
    return route_text(members) if dimension is Dimension.ROUTE else members[dimension]


def _lines(question: Question, names: Sequence[tuple[str, ...]], sums: Iterable[Sum]) -> tuple[Line, ...]:
    """A line for each group and piece of time in which something was counted, in their order."""
    by_line: dict[tuple[int, int], dict[str, dict[int, int]]] = {}
    for one in sums:
        if one.number:
            by_line.setdefault((one.at_ms, one.place), {}).setdefault(one.figure, {})[one.bin] = one.number
    return tuple(
        _line(question, names[place], at_ms, figures) for (at_ms, place), figures in sorted(by_line.items())
    )


def _line(
    question: Question, name: tuple[str, ...], at_ms: int, figures: Mapping[str, Mapping[int, int]]
) -> Line:
    cost = {
        figure.removeprefix(COST): sum(counts.values())
        for figure, counts in figures.items()
        if figure.startswith(COST)
    }
    return Line(
        group={str(dimension): value for dimension, value in zip(question.group_by, name, strict=True)},
        at_ms=at_ms if question.series else None,
        counts={figure: sum(figures.get(figure, {}).values()) for figure in COUNTS[question.subject]},
        durations={figure: figures.get(figure, {}) for figure in DURATIONS[question.subject]},
        cost=tuple(Price(currency, micros) for currency, micros in sorted(cost.items())),
    )
