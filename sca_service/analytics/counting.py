"""Counts the log: the work of a follower, within the transaction that moves it on.

So each event counts exactly once, whatever is killed when, and the figures are those of the log up to the follower's
index. Nothing is counted anywhere else (decision 21).
"""

from collections.abc import Mapping, Sequence
from typing import Final

from sca_service.analytics import postgres_store as store
from sca_service.analytics.model import Span
from sca_service.analytics.stories import Story
from sca_service.analytics.tally import owners_in, tally
from sca_service.audit.following.model import LoggedEvent
from sca_service.policy.analytics import AnalyticsPolicy

FOLLOWER: Final = "analytics"
"""The name that the cursor is kept under."""

MOST_AT_ONCE: Final = 2000
"""Events of one transaction: what is counted late is counted in large portions."""

_PRUNE_EVERY_MS: Final = 60_000
_MOST_PRUNED: Final = 5000
_DAY_MS: Final = Span.DAY.length_ms


class Counting:
    """Counts portions of the log. A class because it holds the policy, and when it last looked what is over."""

    def __init__(self, policy: AnalyticsPolicy) -> None:
        self._policy = policy
        self._pruned_at_ms = 0

    async def work(self, connection: store.Connection, events: Sequence[LoggedEvent]) -> None:
        """Count these events, the next of the log. Raises asyncpg errors; then nothing was counted."""
        counted_at, now_ms = await store.progress(connection)
        members = [event.members for event in events]
        owners = owners_in(members)
        known = await store.stories(connection, owners) if owners else {}
        counted = tally(members, known, counted_at=counted_at, now_ms=now_ms, policy=self._policy)
        if counted.stories:
            await self._save(connection, known, counted.stories)
        if counted.growth:
            ids = await store.key_ids(connection, {key for _, _, key, _ in counted.growth})
            await store.grow(connection, counted.growth, ids)
        await store.save_progress(connection, counted.counted_at)
        await self._prune(connection, counted.counted_at, now_ms)

    async def _save(
        self, connection: store.Connection, known: Mapping[str, Story], changed: Mapping[str, Story]
    ) -> None:
        await store.save_stories(connection, changed)
        before = {
            (one.delivery, one.number): one
            for owner in changed
            if owner in known
            for one in known[owner].tries
        }
        after = {
            (one.delivery, one.number): (owner, one)
            for owner, story in changed.items()
            for one in story.tries
            if not one.taken_back
        }
        await store.drop_deliveries(connection, [place for place in before if place not in after])
        told = [told for place, told in after.items() if before.get(place) != told[1]]
        if told:
            await store.save_deliveries(
                connection, told, await store.key_ids(connection, {one.key for _, one in told})
            )

    async def _prune(self, connection: store.Connection, counted_at: int, now_ms: int) -> None:
        """Delete a bounded part of what is over, once a minute; at once again while there is more."""
        if now_ms < self._pruned_at_ms + _PRUNE_EVERY_MS:
            return
        pruned = 0
        for span in Span:
            before_ms = span.kept_since(counted_at, self._policy)
            pruned += await store.prune_figures(connection, span, before_ms, most=_MOST_PRUNED)
        before_ms = counted_at - self._policy.delivery_days * _DAY_MS
        pruned += await store.prune_deliveries(connection, before_ms, most=_MOST_PRUNED)
        if pruned < _MOST_PRUNED:
            self._pruned_at_ms = now_ms
