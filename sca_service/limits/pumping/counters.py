"""The guard's counters in memory, for traffic that is played in no time: what the scripts do, by the same decisions."""

from collections import defaultdict
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sca_service.limits.pumping.model import (
    DAY_SECONDS,
    HOUR_SECONDS,
    MINUTE_SECONDS,
    Asked,
    Counts,
    PumpingReason,
    Subject,
    allowing,
    counted,
    counts_all_approvals,
    history_days,
    reason_against,
)
from sca_service.policy.pumping import PumpingPolicy, PumpingScope

HOUR_SLOTS: Final = 25
DAY_SLOTS: Final = 15
MINUTE_SLOTS: Final = 11


@dataclass(slots=True)
class _Held:
    """One subject: sent, answered and verified of each hour, verified of each day, what waits since each minute."""

    hours: dict[int, list[int]] = field(default_factory=dict)
    days: dict[int, int] = field(default_factory=dict)
    minutes: dict[int, int] = field(default_factory=dict)

    def add(self, hour: int, sent: int, answered: int, verified: int) -> None:
        cell = self.hours.get(hour)
        if cell is None:
            cell = self.hours[hour] = [0, 0, 0]
            for old in [one for one in self.hours if one <= hour - HOUR_SLOTS]:
                del self.hours[old]
        cell[0] = max(0, cell[0] + sent)
        cell[1] += answered
        cell[2] += verified

    def add_to_day(self, day: int, verified: int) -> None:
        self.days[day] = self.days.get(day, 0) + verified
        for old in [one for one in self.days if one <= day - DAY_SLOTS]:
            del self.days[old]

    def wait_for(self, minute: int) -> None:
        if minute not in self.minutes:
            for old in [one for one in self.minutes if one <= minute - MINUTE_SLOTS]:
                del self.minutes[old]
        self.minutes[minute] = self.minutes.get(minute, 0) + 1

    def wait_no_more(self, since: int) -> None:
        if since in self.minutes:
            self.minutes[since] = max(0, self.minutes[since] - 1)


class MemoryCounters:
    """Asks, counts and blocks in memory. A class because it holds the counts. Times are seconds since the epoch."""

    def __init__(self, policy: PumpingPolicy) -> None:
        self._policy = policy
        self._held: MutableMapping[Subject, _Held] = {}
        self._asked: MutableMapping[str, int] = defaultdict(int)
        self._waits: dict[str, int] = {}
        self._countries: MutableMapping[Subject, dict[str, int]] = defaultdict(dict)
        self._blocked: dict[Subject, tuple[int, PumpingReason]] = {}
        self._allowed: dict[Subject, int] = {}

    def ask(self, asked: Asked, now: int) -> tuple[Subject, PumpingReason] | None:
        """Count one message, or tell what stops it and why."""
        watched: Sequence[Subject] = asked.subjects
        if self._allowed:
            watched = [one for one in watched if self._allowed.get(allowing(asked, one), 0) <= now]
        for subject in watched if self._blocked else ():
            until, why = self._blocked.get(subject, (0, PumpingReason.BUDGET))
            if until > now:
                return subject, why
        hour = now // HOUR_SECONDS
        for subject in watched:
            reason = self._reason(asked, subject, now)
            if reason is not None:
                self._blocked[subject] = (now + self._policy.block_seconds, reason)
                return subject, reason
        messages = self._asked[asked.line] = self._asked[asked.line] + 1
        one = counted(messages) - counted(messages - 1)
        minute = now // MINUTE_SECONDS
        if messages == 1:
            self._waits[asked.line] = minute
        for subject in watched:
            held = self._held.setdefault(subject, _Held())
            held.add(hour, one, 0, 0)
            if messages == 1:
                held.wait_for(minute)
            if subject.scope is PumpingScope.IP:
                self._countries[subject][asked.country] = hour
        return None

    def approve(self, asked: Asked, now: int, *, over_line: bool = True) -> None:
        """Count an approval."""
        answered, verified = counted(self._asked.pop(asked.line, 0)), int(over_line)
        since = self._waits.pop(asked.line, None)
        for subject in asked.subjects:
            held = self._held.get(subject)
            if held is None:
                if not counts_all_approvals(subject.scope):
                    continue
                held = self._held[subject] = _Held()
            held.add(now // HOUR_SECONDS, 0, answered, verified)
            if since is not None:
                held.wait_no_more(since)
            if verified:
                held.add_to_day(now // DAY_SECONDS, verified)

    def give_back(self, asked: Asked, hour: int) -> None:
        """A message that was counted in this hour is not sent after all."""
        messages = self._asked.pop(asked.line, 0)
        one = counted(messages) - counted(messages - 1) if messages else 0
        since = self._waits.pop(asked.line, None) if messages == 1 else None
        for subject in asked.subjects:
            held = self._held.get(subject)
            if held is None:
                continue
            if max(held.hours, default=hour) - HOUR_SLOTS < hour:
                held.add(hour, -one, 0, 0)
            if since is not None:
                held.wait_no_more(since)
        if messages > 1:
            self._asked[asked.line] = messages - 1

    def remember(self, subject: Subject, hour: int, verified: int) -> None:
        """What known lines have approved in an hour gone by."""
        held = self._held.setdefault(subject, _Held())
        held.add(hour, 0, 0, verified)
        held.add_to_day(hour // 24, verified)

    def remember_day(self, subject: Subject, day: int, verified: int) -> None:
        """What known lines have approved on a day that has left every window of hours."""
        self._held.setdefault(subject, _Held()).add_to_day(day, verified)

    def allow(self, subject: Subject, until: int) -> None:
        """Count and stop nothing of this subject until then."""
        self._allowed[subject] = until

    def lift(self, subject: Subject) -> None:
        """Take out a block: its subject starts anew."""
        self._blocked.pop(subject, None)
        self._countries.pop(subject, None)
        held = self._held.setdefault(subject, _Held())
        held.minutes.clear()
        for cell in held.hours.values():
            cell[0] = cell[1] = 0

    def counts(self, subject: Subject, now: int) -> Counts:
        """Where a subject stands."""
        held = self._held.get(subject)
        if held is None:
            return Counts()
        hour, day = now // HOUR_SECONDS, now // DAY_SECONDS
        first = hour - self._policy.window_hours
        cells = [(at, cell) for at, cell in held.hours.items() if first <= at <= hour]
        earliest = day - history_days(subject.scope, self._policy)
        minute = now // MINUTE_SECONDS
        youngest = minute - self._policy.answer_minutes
        return Counts(
            sent=sum(cell[0] for _, cell in cells),
            answered=sum(cell[1] for _, cell in cells),
            waiting=sum(count for at, count in held.minutes.items() if youngest <= at <= minute),
            verified_hour=sum(cell[2] for at, cell in cells if at >= hour - 1),
            verified_day=sum(cell[2] for _, cell in cells),
            best_day=max((count for at, count in held.days.items() if earliest <= at <= day), default=0),
        )

    def _reason(self, asked: Asked, subject: Subject, now: int) -> PumpingReason | None:
        policy = self._policy
        rule = policy.budgets[subject.scope]
        reason = reason_against(self.counts(subject, now), rule, policy.conversion_percent)
        if reason is None and subject.scope is PumpingScope.IP:
            earliest = now // HOUR_SECONDS - policy.window_hours
            held = self._countries[subject]
            others = sum(at >= earliest for country, at in held.items() if country != asked.country)
            if others >= policy.most_countries:
                return PumpingReason.COUNTRIES
        return reason
