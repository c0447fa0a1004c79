"""A bank's day of messages, honest and pumped, made up from a seed: what the guard is tried on (docs/pumping.md).

Times are seconds after midnight. Only messages to new lines are made one by one; those to known lines pass the guard,
and only their approvals count, so these are made by the hour.
"""

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from sca_service.limits.pumping.model import DAY_SECONDS, HOUR_SECONDS, Asked, Subject
from sca_service.policy.pumping import PumpingScope

CLIENT: Final = "bank"
HOME: Final = "H0"
HOME_SHARE: Final = 0.92
HOME_PREFIXES: Final = 10_000
COUNTRIES_ABROAD: Final = 30
PREFIXES_ABROAD: Final = 1_000
NEW_SHARE: Final = 0.03
"""Of a day's messages, how many go to lines that never approved."""
CAMPAIGN_SHARE: Final = 0.5
CAMPAIGN_NEW_SHARE: Final = 0.3
CAMPAIGN_SECONDS: Final = 2 * HOUR_SECONDS
"""A campaign: half a day's messages more within two hours, three tenths of them to new lines."""
OPENS_AT: Final = 10 * HOUR_SECONDS
OPENING_SECONDS: Final = 4 * HOUR_SECONDS
APPROVED_SHARE: Final = 0.95
"""Of the messages to known lines."""
DEAD_SHARE: Final = 0.08
SECOND_TRY_SHARE: Final = 0.10
MOST_TRIES: Final = 4
"""Of the new lines: those that never answer, and try again half of the time; those that answer the second message."""
MESSAGES_A_RANGE: Final = 1_000
"""An attacker pumps a range of ten thousand numbers with so many messages, from another address each."""
ATTACKED_COUNTRY: Final = 15
_HOURS: Final = (1, 1, 1, 1, 1, 2, 4, 7, 9, 10, 10, 10, 10, 9, 9, 9, 9, 10, 10, 9, 7, 5, 3, 2)
"""How a day's messages lie over its hours."""


class Kind(StrEnum):
    """What kind of day it is."""

    QUIET = "quiet day"
    CAMPAIGN = "campaign"
    DOUBLED = "doubled day"
    SLOW_ABROAD = "slow attack abroad"
    SLOW_AT_HOME = "slow attack at home"
    FAST_ABROAD = "fast attack abroad"
    FAST_AT_HOME = "fast attack at home"
    HOPPING = "hopping attack at home"
    """Over all ranges of the country and a day, each number once: what looks like honest payers most."""
    RUSHING = "rushing attack at home"
    """Over all ranges too, within two minutes: over before anybody would have had the time to answer."""
    FIRST = "first day"
    """Nobody has approved anything yet, and nothing is allowed."""
    OPENING = "opening"
    """A first day whose messages all come within four hours, from one second to the next."""
    REPEATING = "repeating attack at home"
    """Slow, and each number four times, because so many count as one."""

    @property
    def is_promised(self) -> bool:
        """Whether the shipped policy promises to stop it."""
        return self not in (Kind.HOPPING, Kind.RUSHING, Kind.REPEATING)

    @property
    def attack_seconds(self) -> int:
        """How long the attack takes: a whole day, or half an hour; 0 for none."""
        return _ATTACK_SECONDS.get(self, 0)

    @property
    def is_first(self) -> bool:
        """Whether nothing is known of the days before."""
        return self in (Kind.FIRST, Kind.OPENING)

    @property
    def hops(self) -> bool:
        """Whether no range gets more than chance gives it."""
        return self in (Kind.HOPPING, Kind.RUSHING)

    @property
    def is_abroad(self) -> bool:
        """Whether the pumped ranges are in a country that few honest payers live in."""
        return self in (Kind.SLOW_ABROAD, Kind.FAST_ABROAD)


_ATTACK_SECONDS: Final = {
    Kind.SLOW_ABROAD: DAY_SECONDS,
    Kind.SLOW_AT_HOME: DAY_SECONDS,
    Kind.FAST_ABROAD: HOUR_SECONDS // 2,
    Kind.FAST_AT_HOME: HOUR_SECONDS // 2,
    Kind.HOPPING: DAY_SECONDS,
    Kind.RUSHING: 120,
    Kind.REPEATING: DAY_SECONDS,
}


@dataclass(frozen=True, slots=True)
class Try:
    """One message. It is answered after `answered_after` seconds; else there is another try after `again_after`.

    `number` counts a payer's messages; `answers_next` says that the second one is answered.
    """

    at: int
    asked: Asked
    answered_after: int | None = None
    again_after: int | None = None
    number: int = 1
    answers_next: bool = False
    is_attack: bool = False


class Day:
    """One made-up day. A class because it holds what the day is made of."""

    def __init__(self, kind: Kind, size: int, chance: Random) -> None:
        """`size` is how many honest messages a usual day has, and how many an attack has."""
        self._kind = kind
        self._size = size
        self._chance = chance
        weights = [1 / (rank + 1) for rank in range(COUNTRIES_ABROAD)]
        self._abroad = [weight / sum(weights) for weight in weights]

    @property
    def honest(self) -> int:
        """How many honest messages the day has, tries again not counted."""
        share = {Kind.DOUBLED: 2.0, Kind.CAMPAIGN: 1 + CAMPAIGN_SHARE}.get(self._kind, 1.0)
        return round(self._size * share)

    def known_approvals(self, subject: Subject, hours: range) -> list[int]:
        """How many known lines of a subject approve in each hour; hours below 0 lie on the days before."""
        weights = [
            _HOURS[hour % 24] * (2 if self._kind is Kind.DOUBLED and hour >= 0 else 1) for hour in hours
        ]
        return spread(self._expected(subject) / sum(_HOURS), weights, self._chance)

    def known_approvals_by_day(self, subject: Subject, days: int) -> list[int]:
        """The same for so many usual days."""
        return spread(self._expected(subject), [1] * days, self._chance)

    def tries(self) -> Iterator[Try]:
        """The first messages to all new lines, and those of the attack, in their order.

        A usual day goes before, with times below 0, but where the day is the first.
        """
        if not self._kind.is_first:
            yield from (self._new_line(at) for at in self._times_of_a_day(1, begins=-DAY_SECONDS))
        yield from heapq.merge(self._honest_tries(), self._attack(), key=lambda one: one.at)

    def again(self, last: Try) -> Try:
        """The next try of a payer whose message was not answered."""
        at, number = last.at + (last.again_after or 0), last.number + 1
        if last.answers_next:
            return Try(at, last.asked, answered_after=self._delay(), number=number)
        goes_on = number < MOST_TRIES and self._chance.random() < 0.5
        return Try(at, last.asked, again_after=self._pause() if goes_on else None, number=number)

    def _honest_tries(self) -> list[Try]:
        times = self._times_of_a_day(2 if self._kind is Kind.DOUBLED else 1)
        if self._kind is Kind.CAMPAIGN:
            more = poisson(self._size * CAMPAIGN_SHARE * CAMPAIGN_NEW_SHARE, self._chance)
            times += [11 * HOUR_SECONDS + self._chance.randrange(CAMPAIGN_SECONDS) for _ in range(more)]
        return [self._new_line(at) for at in sorted(times)]

    def _times_of_a_day(self, factor: int, *, begins: int = 0) -> list[int]:
        new_share = 1.0 if self._kind.is_first else NEW_SHARE
        count = poisson(self._size * new_share * factor, self._chance)
        return sorted(begins + self._time() for _ in range(count))

    def _new_line(self, at: int) -> Try:
        asked = self._line(self._country(), number=self._chance.randrange(10_000))
        luck = self._chance.random()
        if luck < DEAD_SHARE:
            again = self._pause() if self._chance.random() < 0.5 else None
            return Try(at, asked, again_after=again)
        if luck < DEAD_SHARE + SECOND_TRY_SHARE:
            return Try(at, asked, again_after=self._pause(), answers_next=True)
        return Try(at, asked, answered_after=self._delay())

    def _attack(self) -> Iterator[Try]:
        seconds = self._kind.attack_seconds
        if not seconds:
            return
        country = f"A{ATTACKED_COUNTRY}" if self._kind.is_abroad else HOME
        most = PREFIXES_ABROAD if self._kind.is_abroad else HOME_PREFIXES
        each = 1 if self._kind.hops else MESSAGES_A_RANGE
        ranges = self._chance.sample(range(most), min(most, -(-self._size // each)))
        begins = 0 if seconds == DAY_SECONDS else 12 * HOUR_SECONDS
        lines: list[Asked] = []
        for at in sorted(self._chance.randrange(seconds) for _ in range(self._size)):
            if not lines:
                prefix, number = self._chance.choice(ranges), self._chance.randrange(10_000)
                times = 4 if self._kind is Kind.REPEATING else 1
                lines = [self._line(country, number=number, prefix=prefix) for _ in range(times)]
            yield Try(begins + at, lines.pop(), is_attack=True)

    def _line(self, country: str, *, number: int, prefix: int | None = None) -> Asked:
        if prefix is None:
            prefix = self._chance.randrange(HOME_PREFIXES if country == HOME else PREFIXES_ABROAD)
        name = f"{country}-{prefix}"
        subjects = (
            Subject(PumpingScope.NEIGHBOURS, f"{name}-{number // 100}"),
            Subject(PumpingScope.PREFIX, name),
            Subject(PumpingScope.COUNTRY, country),
            Subject(PumpingScope.IP, f"{self._chance.getrandbits(64):x}"),
            Subject(PumpingScope.CLIENT, CLIENT),
        )
        return Asked(f"{name}-{number}", country, subjects)

    def _country(self) -> str:
        if self._chance.random() < HOME_SHARE:
            return HOME
        return f"A{self._chance.choices(range(COUNTRIES_ABROAD), self._abroad)[0]}"

    def _expected(self, subject: Subject) -> float:
        if self._kind.is_first:
            return 0.0
        return self._size * (1 - NEW_SHARE) * APPROVED_SHARE * self._share_of(subject)

    def _share_of(self, subject: Subject) -> float:
        """Which part of all payers a subject has; nobody known comes from an address or a hundred of its own."""
        if subject.scope is PumpingScope.CLIENT:
            return 1.0
        if subject.scope not in (PumpingScope.PREFIX, PumpingScope.COUNTRY):
            return 0.0
        country, _, prefix = subject.name.partition("-")
        at_home = country == HOME
        share = HOME_SHARE if at_home else (1 - HOME_SHARE) * self._abroad[int(country[1:])]
        return share / (HOME_PREFIXES if at_home else PREFIXES_ABROAD) if prefix else share

    def _time(self) -> int:
        if self._kind is Kind.OPENING:
            return OPENS_AT + self._chance.randrange(OPENING_SECONDS)
        hour = self._chance.choices(range(24), _HOURS)[0]
        return hour * HOUR_SECONDS + self._chance.randrange(HOUR_SECONDS)

    def _delay(self) -> int:
        """Until a payer has typed a code: 25 seconds mostly, never more than five minutes."""
        return min(300, max(5, round(self._chance.lognormvariate(math.log(25), 0.8))))

    def _pause(self) -> int:
        return self._chance.randrange(60, 240)


def spread(expected: float, weights: Sequence[int], chance: Random) -> list[int]:
    """How often something happens in each of several times, `expected` times their weights.

    What is rare is drawn once for all of them: a range of numbers has an approval in a few hours of a day.
    """
    if expected * max(weights, default=0) > 1:
        return [poisson(expected * weight, chance) for weight in weights]
    found = [0] * len(weights)
    happens = poisson(expected * sum(weights), chance)
    if happens:
        for at in chance.choices(range(len(weights)), weights, k=happens):
            found[at] += 1
    return found


def poisson(expected: float, chance: Random) -> int:
    """How often something happens that is expected so often."""
    if expected > 50:
        return max(0, round(chance.gauss(expected, math.sqrt(expected))))
    limit, count, product = math.exp(-expected), 0, chance.random()
    while product > limit:
        count += 1
        product *= chance.random()
    return count
