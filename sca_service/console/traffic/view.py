"""What the page on traffic shows: figures of now beside those of a week ago. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sca_service.analytics.model import Figure, Span
from sca_service.analytics.reading.answer import Line
from sca_service.kernel.money import Price
from sca_service.limits.pumping.model import Entry

WEEK_MS = 7 * Span.DAY.length_ms
LEAST_SENT = 20
"""With fewer messages on one of its sides a comparison says nothing."""

_CHANGE = 0.05
"""A share that differs by less is as it was."""


class Window(StrEnum):
    """How much time the page is about, up to the end of this hour."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"

    @property
    def length_ms(self) -> int:
        """Its milliseconds; the shortest holds the hour before this one too, which has only begun."""
        hours = {Window.HOUR: 2, Window.DAY: 24, Window.WEEK: 168}
        return hours[self] * Span.HOUR.length_ms

    @property
    def pieces(self) -> Span:
        """What its chart tells apart."""
        return Span.MINUTE if self is Window.HOUR else Span.HOUR

    @property
    def words(self) -> str:
        """As a sentence says it."""
        return {
            Window.HOUR: "this hour and the one before",
            Window.DAY: "24 hours",
            Window.WEEK: "seven days",
        }[self]


class Verdict(StrEnum):
    """How something does against a week ago."""

    WORSE = "worse"
    SAME = "as a week ago"
    BETTER = "better"
    UNKNOWN = "too few to tell"


@dataclass(frozen=True, slots=True)
class Pair:
    """One group's figures now, and a week ago; None where there were none."""

    group: Mapping[str, str]
    now: Line | None
    before: Line | None

    def count(self, figure: Figure) -> int:
        """A figure of now."""
        return self.now.counts.get(figure, 0) if self.now else 0

    def count_before(self, figure: Figure) -> int:
        """The same of a week ago."""
        return self.before.counts.get(figure, 0) if self.before else 0

    def share(self, part: Figure, whole: Figure) -> float | None:
        """A share of now."""
        return self.now.share(part, whole) if self.now else None

    def share_before(self, part: Figure, whole: Figure) -> float | None:
        """The same share a week ago."""
        return self.before.share(part, whole) if self.before else None

    def verdict(self, part: Figure, whole: Figure) -> Verdict:
        """What has become of a share."""
        now, before = self.share(part, whole), self.share_before(part, whole)
        if now is None or before is None or min(self.count(whole), self.count_before(whole)) < LEAST_SENT:
            return Verdict.UNKNOWN
        if now <= before - _CHANGE:
            return Verdict.WORSE
        return Verdict.BETTER if now >= before + _CHANGE else Verdict.SAME

    @property
    def cost(self) -> tuple[Price, ...]:
        """What was spent now."""
        return self.now.cost if self.now else ()

    @property
    def cost_before(self) -> tuple[Price, ...]:
        """What was spent a week ago."""
        return self.before.cost if self.before else ()


@dataclass(frozen=True, slots=True)
class Traffic:
    """All that the page shows. `blocks` is None for who may not see them; times in ms since the epoch."""

    window: Window
    since_ms: int
    until_ms: int
    counted_at_ms: int
    whole: Pair
    challenges: Pair
    pieces: tuple[Pair, ...]
    routes: tuple[Pair, ...]
    places: tuple[Pair, ...]
    suppliers: tuple[Pair, ...]
    blocks: Sequence[Entry] | None


def pairs(now: Sequence[Line], before: Sequence[Line]) -> tuple[Pair, ...]:
    """The lines of two answers, group by group."""
    by_group = {tuple(line.group.items()): line for line in now}
    earlier = {tuple(line.group.items()): line for line in before}
    return tuple(
        Pair(dict(group), by_group.get(group), earlier.get(group)) for group in {**by_group, **earlier}
    )


def pieces_of(
    since_ms: int, until_ms: int, span: Span, now: Sequence[Line], before: Sequence[Line]
) -> tuple[Pair, ...]:
    """A pair for each piece of time, whether something was counted in it or not."""
    by_moment = {line.at_ms: line for line in now}
    earlier = {(line.at_ms or 0) + WEEK_MS: line for line in before}
    return tuple(
        Pair({"at": str(at)}, by_moment.get(at), earlier.get(at))
        for at in range(since_ms, until_ms, span.length_ms)
    )


def worst_first(routes: Sequence[Pair]) -> list[Pair]:
    """Routes in the order in which somebody should look at them."""

    def place(pair: Pair) -> tuple[bool, int]:
        is_worse = pair.verdict(Figure.DELIVERED, Figure.ATTEMPTED) is Verdict.WORSE
        return not is_worse, -pair.count(Figure.ATTEMPTED)

    return sorted(routes, key=place)


def failing(places: Sequence[Pair]) -> list[Pair]:
    """Where something did not arrive, most first."""
    found = [pair for pair in places if pair.count(Figure.FAILED)]
    return sorted(found, key=lambda pair: (-pair.count(Figure.FAILED), sorted(pair.group.items())))
