"""Plays made-up days against a policy, in no time, by the decisions of the guard itself; pure."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Final

from sca_service.limits.pumping.counters import MemoryCounters
from sca_service.limits.pumping.model import DAY_SECONDS, HOUR_SECONDS, Asked, Subject, counts_all_approvals
from sca_service.limits.pumping.traffic import Day, Kind, Try
from sca_service.policy.pumping import PumpingPolicy

SIZES: Final = (100, 1_000, 10_000, 100_000, 1_000_000)
LEAST_STOPPED: Final = 0.95
MOST_LOST: Final = 0.005
"""What the shipped policy promises of every cell: of an attack's messages, and of honest ones."""
_REPEATED_TO: Final = 10_000
"""A small day is played as often as it takes to so many honest messages: a share of a hundred says little."""
_TODAY: Final = 20_000 * DAY_SECONDS
"""Midnight of the day that is played; the history lies before it."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What came of one kind of day at one size: messages, over all times it was played (`days`).

    `honest` are all honest ones, `new` those of them that went to lines that never approved.
    """

    kind: Kind
    size: int
    days: int
    honest: int
    new: int
    lost: int
    pumped: int
    through: int

    @property
    def stopped_share(self) -> float:
        """Of the attack's messages; 1 where there is none."""
        return 1 - self.through / self.pumped if self.pumped else 1.0

    @property
    def lost_share(self) -> float:
        """Of the honest messages."""
        return self.lost / self.honest if self.honest else 0.0

    @property
    def keeps_the_promise(self) -> bool:
        """Whether enough of the attack is stopped, and enough honest payers get their messages."""
        return self.stopped_share >= LEAST_STOPPED and self.lost_share < MOST_LOST


def simulate(
    policy: PumpingPolicy, sizes: Sequence[int], *, seed: int, kinds: Sequence[Kind] = tuple(Kind)
) -> Iterator[Cell]:
    """Every kind of day at every size; the same seed gives the same days."""
    for kind in kinds:
        for size in sizes:
            yield _cell(policy, kind, size, seed)


def _cell(policy: PumpingPolicy, kind: Kind, size: int, seed: int) -> Cell:
    days = max(1, _REPEATED_TO // size)
    played = [_Play(policy, kind, size, Random(f"{seed} {kind} {size} {at}")) for at in range(days)]  # noqa: S311
    for one in played:
        one.run()
    return Cell(
        kind=kind,
        size=size,
        days=days,
        honest=sum(one.honest for one in played),
        new=sum(one.new for one in played),
        lost=sum(one.lost for one in played),
        pumped=sum(one.pumped for one in played),
        through=sum(one.through for one in played),
    )


class _Play:
    """One day while it is played. A class because it counts."""

    def __init__(self, policy: PumpingPolicy, kind: Kind, size: int, chance: Random) -> None:
        self._policy = policy
        self._day = Day(kind, size, chance)
        self._counters = MemoryCounters(policy)
        self._reached: dict[Subject, int] = {}
        self._order = count()
        self.honest = self._day.honest
        self.new = self.lost = self.pumped = self.through = 0

    def run(self) -> None:
        """Play it from midnight to midnight, and what is under way then to its end."""
        waiting: list[tuple[int, int, Try, bool]] = []
        for one in self._day.tries():
            while waiting and waiting[0][0] <= one.at:
                self._take(waiting)
            self._ask(one, waiting)
        while waiting:
            self._take(waiting)

    def _take(self, waiting: list[tuple[int, int, Try, bool]]) -> None:
        at, _, one, is_answer = heapq.heappop(waiting)
        if is_answer:
            self._counters.approve(one.asked, _TODAY + at)
            return
        self.honest += at >= 0
        self._ask(one, waiting)

    def _ask(self, one: Try, waiting: list[tuple[int, int, Try, bool]]) -> None:
        self._catch_up(one.asked, one.at // HOUR_SECONDS)
        stopped = self._counters.ask(one.asked, _TODAY + one.at)
        if one.is_attack:
            self.pumped += 1
            self.through += stopped is None
            return
        self.new += one.at >= 0
        if stopped is not None:
            self.lost += one.at >= 0
        elif one.answered_after is not None:
            heapq.heappush(waiting, (one.at + one.answered_after, next(self._order), one, True))
        elif one.again_after is not None:
            again = self._day.again(one)
            heapq.heappush(waiting, (again.at, next(self._order), again, False))

    def _catch_up(self, asked: Asked, hour: int) -> None:
        """What known lines of these subjects have approved since they were last looked at, and in the days before."""
        for subject in asked.subjects:
            if not counts_all_approvals(subject.scope):
                continue
            reached = self._reached.get(subject)
            if reached is None:
                reached = -48
                first = -self._policy.history_days
                for day, approved in enumerate(self._day.known_approvals_by_day(subject, -2 - first), first):
                    if approved:
                        self._counters.remember_day(subject, _TODAY // DAY_SECONDS + day, approved)
            if reached < hour:
                hours = range(reached, hour)
                for at, approved in zip(hours, self._day.known_approvals(subject, hours), strict=True):
                    if approved:
                        self._counters.remember(subject, _TODAY // HOUR_SECONDS + at, approved)
            self._reached[subject] = max(reached, hour)
