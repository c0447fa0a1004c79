"""Counts a portion of the log: which stories it changes, and by how much that changes each figure. Pure.

A figure is a sum over stories of what each comes to (`stories.py`). So after an event it grows by what the story comes
to now, less what it came to before; where the key or the minute changed, the old place loses what the new one gains.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sca_service.analytics.model import Counted, Key, Place, Span
from sca_service.analytics.stories import Story
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
    stories = dict(known)
    changed: dict[str, Story] = {}
    growth: dict[tuple[Span, int, Key, str], Counter[int]] = {}
    for event in events:
        counted_at = max(counted_at, min(event["at_ms"], now_ms))
        owner = owner_of(event)
        if owner is None:
            continue
        before = stories.get(owner, _NOTHING)
        after = told(before, event)
        if after == before:
            continue
        stories[owner] = changed[owner] = after
        for (key, began_at), counts in _difference(before, after).items():
            for span in Span:
                at = span.begin(began_at)
                if at < span.kept_since(counted_at, policy):
                    continue
                for (figure, place), number in counts.items():
                    growth.setdefault((span, at, key, figure), Counter())[place] += number
    return Tally(changed, _without_nothing(growth), counted_at)


def sums_of(story: Story) -> dict[Place, Counter[Counted]]:
    """What a story comes to, by where it belongs."""
    sums: dict[Place, Counter[Counted]] = {}
    for part in story.parts:
        sums.setdefault((part.key, part.began_at), Counter()).update(part.counts())
    return sums


def _difference(before: Story, after: Story) -> dict[Place, Counter[Counted]]:
    change = sums_of(after)
    for place, counts in sums_of(before).items():
        change.setdefault(place, Counter()).subtract(counts)
    return change


def _without_nothing(growth: Mapping[tuple[Span, int, Key, str], Counter[int]]) -> Growth:
    kept = {
        place: {index: number for index, number in counts.items() if number}
        for place, counts in growth.items()
    }
    return {place: counts for place, counts in kept.items() if counts}
