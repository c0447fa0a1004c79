"""Counts a portion of the log: which stories it changes, and by how much that changes each figure. Pure.

A figure is a sum over stories of what each comes to (`stories.py`). So it grows by what the changed ones come to now,
less what they came to before; where a key or a minute changed, the old place loses what the new one gains.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sca_service.analytics.model import MINUTE_MS, Counted, Key, Place, Span
from sca_service.analytics.stories import Part, Story
from sca_service.analytics.telling import Members, owner_of, told
from sca_service.policy.analytics import AnalyticsPolicy

Growth = Mapping[tuple[Span, int, Key, str], Mapping[int, int]]
"""By how much figures grow: of each span, the moment at which it begins, key and name, the number of each bin."""

_NOTHING = Story()


@dataclass(frozen=True, slots=True)
class Tally:
    """What a portion of the log comes to.

    `stories` are the changed ones by their challenge's or alert's id, `growth` is what figures grow by, `counted_at`
    when the newest event of all was dated, in ms since the epoch.
    """

    stories: Mapping[str, Story]
    growth: Growth
    counted_at: int


def owners_in(events: Iterable[Members]) -> frozenset[str]:
    """The challenges and alerts whose stories have to be known to count these events."""
    return frozenset(owner for owner in map(owner_of, events) if owner)


def tally(
    events: Iterable[Members],
    known: Mapping[str, Story],
    *,
    counted_at: int,
    now_ms: int,
    policy: AnalyticsPolicy,
) -> Tally:
    """Count events, given the stories as they were before. `counted_at` is the newest date that was counted before.

    What began so long ago that its minute or hour is not kept any more is left out of those, and of nothing else. That
    is judged by the dates of events, up to `now_ms`, so that counting the log again comes to the same.
    """
    changed: dict[str, Story] = {}
    for event in events:
        counted_at = max(counted_at, min(event["at_ms"], now_ms))
        owner = owner_of(event)
        if owner is not None:
            before = changed.get(owner) or known.get(owner, _NOTHING)
            changed[owner] = told(before, event)
    change: dict[Place, dict[Counted, int]] = {}
    for owner, after in changed.items():
        before = known.get(owner, _NOTHING)
        for part in after.parts:
            if part not in before.parts:
                _add(change, part, 1)
        for part in before.parts:
            if part not in after.parts:
                _add(change, part, -1)
    return Tally(changed, _growth(change, counted_at, policy), counted_at)


def _add(change: dict[Place, dict[Counted, int]], part: Part, sign: int) -> None:
    numbers = change.setdefault((part.key, part.began_at - part.began_at % MINUTE_MS), {})
    for counted, number in part.counts().items():
        numbers[counted] = numbers.get(counted, 0) + sign * number


def _growth(
    change: Mapping[Place, Mapping[Counted, int]], counted_at: int, policy: AnalyticsPolicy
) -> Growth:
    """What changed by the minute as what figures of every span grow by, where they are kept."""
    growth: dict[tuple[Span, int, Key, str], dict[int, int]] = {}
    for span in Span:
        kept_since = span.kept_since(counted_at, policy)
        for (key, minute), numbers in change.items():
            at = span.begin(minute)
            if at < kept_since:
                continue
            for (figure, place), number in numbers.items():
                if number:
                    grown = growth.setdefault((span, at, key, figure), {})
                    grown[place] = grown.get(place, 0) + number
    return growth
